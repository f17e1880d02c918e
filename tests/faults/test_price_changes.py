"""Prices change between every two steps of many checkouts: nobody is charged a price that was not shown."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from chassis import calls, clock
from chassis.money import Money
from chassis.testing import FakeClock
from services.orders import checkout, quotas
from services.orders.domain import PriceChanged
from services.payments import repository as payments
from services.products import application as products
from services.products.domain import Details
from tests.faults.in_process import InProcessPlatform

CHECKOUTS = 1000
CHECKOUTS_OF_PRODUCT = 10
"""No relay runs, so the document of a product grows with each change of its price."""
CURRENCIES = ("EUR", "EUR", "EUR", "USD", "JPY")


class _RepricingClient:
    """A client that changes the price of the product before and after each command."""

    def __init__(self, client: Any, product: str, random: Random) -> None:
        self._client, self.product, self._random, self.changes = client, product, random, 0

    def send(self, *arguments: Any, **options: Any) -> Any:
        self._reprice()
        try:
            return self._client.send(*arguments, **options)
        finally:
            self._reprice()

    def _reprice(self) -> None:
        if self._random.random() < 0.5:
            new = {"price": Decimal(self._random.randint(1, 3)), "currency": self._random.choice(CURRENCIES)}
            products.change(self.product, new, None, clock.new_id())
            self.changes += 1


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: nothing here has to survive."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


@pytest.mark.timeout(300)
def test_nobody_is_charged_a_price_that_was_not_shown(folder: Path, fake_clock: FakeClock) -> None:
    platform, random = InProcessPlatform(folder, stock=10), Random(7)
    client = _RepricingClient(calls.current(), platform.product, random)
    calls.use(client)  # type: ignore[arg-type]
    charged = refused = 0
    while charged < CHECKOUTS:
        if charged % CHECKOUTS_OF_PRODUCT == 0:
            client.product = products.create(clock.new_id(), Details("Kettle"), Money(100, "EUR"), 1000)["_id"]
            fake_clock.pass_time(quotas.DAY_S)  # the quotas of the buyer begin again
        quantity = random.randint(1, 3)
        shown = _shown(client.product, quantity)
        for _ in range(20):
            id = clock.new_id()
            try:
                checkout.place_order(id, platform.user, {client.product: quantity}, "tok_ok", *shown)
            except PriceChanged as error:
                refused += 1
                assert checkout.sagas.get(id) is None
                assert payments.payments.get(id) is None
                assert (Decimal(error.extra["totalAmount"]), error.extra["currency"]) != shown
                shown = Decimal(error.extra["totalAmount"]), error.extra["currency"]  # the buyer looks, and agrees
                continue
            payment = payments.payments.get(id)
            assert payment is not None
            order = checkout.repository.get(id)
            assert (Decimal(order.total_amount), order.currency) == shown
            minor = shown[0] * (1 if shown[1] == "JPY" else 100)
            assert (payment["status"], payment["amount"], payment["currency"]) == ("completed", minor, shown[1])
            charged += 1
            break
    assert client.changes > 3 * CHECKOUTS
    assert refused > CHECKOUTS // 4, "the prices changed too seldom to prove anything"
    platform.close()


def _shown(product: str, quantity: int) -> tuple[Decimal, str]:
    """Return what the catalog shows for these units at this moment."""
    (item,) = products.price_items(products.PriceItems(product_ids=[product])).items
    places = 0 if item.currency == "JPY" else 2
    return Decimal(item.price).scaleb(-places) * quantity, item.currency
