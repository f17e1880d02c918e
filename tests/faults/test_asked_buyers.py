"""A buyer who must confirm the payment at the bank, and a process that dies at any call to its store or to Stripe.

All services run in this process, against a Stripe that keeps state. Whatever dies, and whatever the buyer does: one
charge or none, the units are sold or free, and neither the audit nor the reconciliation finds anything.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import stripe as library

from chassis import clock
from chassis.audit import BATCH, Finding, Suspect
from chassis.errors import TransientError
from chassis.testing import FakeClock
from services.inventory import repository as inventory
from services.orders import checkout, invariants, quotas, repository
from services.orders.domain import WrongStatus
from services.orders.settings import OrdersSettings
from services.payments import application, reconciliation, webhooks
from services.payments import invariants as payment_invariants
from services.payments.providers import by_name, stripe_http
from services.payments.providers import stripe as stripe_module
from services.payments.settings import PaymentsSettings
from tests.fake_stripe import SECRET, FakeStripe
from tests.faults.in_process import InProcessPlatform
from tests.sizes import by_form

pytestmark = pytest.mark.any_engine

OPERATIONS = ("insert", "get", "find", "count", "update", "bulk_update", "delete", "rewrite")
STOCK, PRICE = 100_000, 1000
STRIDE = by_form(8, 1)
"""Every so many-th call is where a process dies."""


class Death(BaseException):
    """The end of the process."""


class Calls:
    """The calls to stores and to Stripe; the process dies at number `at`, before it or after it took effect."""

    def __init__(self) -> None:
        self.at, self.after, self.count = 0, False, 0

    def arm(self, at: int, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0

    def make(self, call: Callable[[], Any]) -> Any:
        self.count += 1
        dies = self.count == self.at
        if dies and not self.after:
            raise Death
        result = call()
        if dies:
            raise Death
        return result


class DyingStore:
    """A store whose operations are such calls."""

    def __init__(self, store: Any, calls: Calls) -> None:
        self._store, self._calls = store, calls

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)
        if name not in OPERATIONS:
            return operation
        return lambda *arguments: self._calls.make(lambda: operation(*arguments))


class Shop:
    """The platform, its Stripe, and buyers who do what a test says."""

    def __init__(self, platform: InProcessPlatform, stripe: FakeStripe, fake_clock: FakeClock, calls: Calls) -> None:
        self.platform, self.stripe, self.clock, self.calls = platform, stripe, fake_clock, calls

    def order(self, id: str) -> None:
        checkout.place_order(id, self.platform.user, {self.platform.product: 1}, "pm_action")

    def webhook(self, id: str, times: int = 1) -> None:
        """Let Stripe tell what happened to the payment of an order."""
        for intent in self.stripe.of(id):
            event = {"id": f"evt_{id}", "object": "event", "data": {"object": intent}}
            payload = json.dumps(event).encode()
            signature = library.WebhookSignature.generate_signature_header(payload.decode(), SECRET, int(time.time()))
            for _ in range(times):
                webhooks.receive(payload, signature)
                webhooks.process()

    def work(self) -> None:
        """Do what the workers have to do now."""
        self.clock.pass_time(0.001)
        webhooks.process()
        self.platform.run_until_idle()
        for doc in checkout.driver.find_due():
            checkout.driver.resume(doc)

    def settle(self, id: str) -> None:
        """Let time pass until the saga of an order has ended, if it was opened."""
        self.calls.arm(0, False)
        for _ in range(40):
            self.clock.pass_time(30)
            self.work()
            saga = checkout.sagas.get(id)
            if saga is None or not saga["open"]:
                return
        raise AssertionError(f"the saga does not end: {checkout.sagas.get(id)}")

    def status(self, id: str) -> str:
        return repository.get(id).status

    def held(self, id: str) -> int:
        """Return what Stripe holds of an order, after every answer that the buyer may still give."""
        self.stripe.authenticate(id)
        return self.stripe.charged(id) - self.stripe.refunded(id)

    def findings(self, ids: list[str]) -> list[Finding | Suspect]:
        """Return what the audits of orders and of payments, and the reconciliation, find five minutes later."""
        self.clock.pass_time(301)
        self.work()
        found: list[Finding | Suspect] = []
        for part in _batches(ids):
            found += [*invariants.check_orders(part), *payment_invariants.check_payments(part)]
        held = reconciliation.over(10 * 86_400)
        for part in _batches(list(held.ids())):
            found += held.check(part)
        return found


def _batches(ids: list[str]) -> list[list[str]]:
    return [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    patch, fake_clock, calls = pytest.MonkeyPatch(), FakeClock(), Calls()
    clock.use(fake_clock)
    with FakeStripe() as stripe:
        stripe.page = 1000
        chosen = PaymentsSettings(
            payment_provider="stripe",
            stripe_api_key="sk_test_1",
            stripe_webhook_secret=SECRET,
            stripe_api_base=stripe.url,
        )
        for module in (stripe_module, stripe_http, application, webhooks, reconciliation):
            patch.setattr(module, "settings", lambda: chosen)
        unlimited = OrdersSettings(payment_provider="stripe", rate_limits="off")
        for limited in (checkout, quotas):
            patch.setattr(limited, "settings", lambda: unlimited)
        patch.setattr(application.DECLINES.__class__, "wait_s", lambda self, user: 0)  # one buyer stands for all
        patch.setattr(webhooks, "_signed_at", lambda signature: 0.0)  # signed by the real clock
        ask = stripe_http.HttpClient.request
        patch.setattr(
            stripe_http.HttpClient, "request", lambda *given, **named: calls.make(lambda: ask(*given, **named))
        )
        by_name.cache_clear()
        folder: Path = tmp_path_factory.mktemp("asked")
        platform = InProcessPlatform(folder, stock=STOCK)
        for name in ("orders", "payments"):
            for collection in platform.services[name].collections:
                collection.attach(DyingStore(platform.stores[name], calls))
        yield Shop(platform, stripe, fake_clock, calls)
        platform.close()
    by_name.cache_clear()
    patch.undo()
    clock.use(clock.Clock())


def place(shop: Shop, id: str) -> None:
    shop.order(id)


def approve_and_resume(shop: Shop, id: str) -> None:
    shop.stripe.authenticate(id)
    checkout.resume(id)
    shop.work()


def approve_and_tell(shop: Shop, id: str) -> None:
    shop.stripe.authenticate(id)
    shop.webhook(id, times=2)
    shop.work()
    shop.work()


def refuse_and_tell(shop: Shop, id: str) -> None:
    shop.stripe.authenticate(id, succeeds=False)
    shop.webhook(id)
    shop.work()
    shop.work()


def abandon(shop: Shop, id: str) -> None:
    shop.clock.pass_time(601)
    shop.work()
    shop.work()


def cancel(shop: Shop, id: str) -> None:
    checkout.cancel(repository.get(id), by_owner=False, dedup_key="")
    shop.work()


Deed = Callable[[Shop, str], None]
ENDS: dict[Deed, str] = {
    approve_and_resume: "confirmed",
    approve_and_tell: "confirmed",
    refuse_and_tell: "rejected",
    abandon: "rejected",
    cancel: "cancelled",
}


@pytest.mark.parametrize("deed", ENDS, ids=lambda deed: deed.__name__)
def test_order_ends_by_what_its_buyer_does(shop: Shop, deed: Deed) -> None:
    id = clock.new_id()
    place(shop, id)
    assert shop.status(id) == "pending" and checkout.actions([id])[id].url.startswith("https://bank.example/")
    shop.clock.pass_time(20)
    shop.work()
    assert shop.status(id) == "pending", "nothing polls"
    deed(shop, id)
    assert shop.status(id) == ENDS[deed] and not checkout.actions([id])
    assert shop.held(id) == (PRICE if ENDS[deed] == "confirmed" else 0)
    assert shop.findings([id]) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("deed", [place, *ENDS], ids=lambda deed: deed.__name__)
def test_process_that_dies_at_any_call_leaves_one_charge_or_none(shop: Shop, deed: Deed, after: bool) -> None:
    ids, at, died = [], 1, True
    while died:
        ids.append(id := clock.new_id())
        if deed is not place:
            place(shop, id)
        shop.calls.arm(at, after)
        try:
            deed(shop, id)
        except Death:
            pass
        died = shop.calls.count >= at
        shop.calls.arm(0, False)
        if deed is place:
            shop.stripe.authenticate(id)
        shop.settle(id)
        at += STRIDE
    assert len(ids) > 20 / STRIDE
    for id in ids:
        if checkout.sagas.get(id) is None:
            assert not shop.stripe.of(id)
        else:
            assert shop.held(id) == (PRICE if shop.status(id) == "confirmed" else 0)
    assert shop.findings(ids) == []


STORM = by_form(40, 500)


def test_storm_of_abandoned_late_and_doubled_confirmations_charges_each_order_once_or_never(shop: Shop) -> None:
    random, ids = Random(7), [clock.new_id() for _ in range(STORM)]
    before = inventory.stock.get(shop.platform.product) or {}
    waits_too_long = (abandon, _late)
    for start in range(0, STORM, 10):
        deeds = {id: random.choice((*ENDS, *waits_too_long, _doubled, _lost)) for id in ids[start : start + 10]}
        for id in deeds:
            place(shop, id)
        for id, deed in sorted(deeds.items(), key=lambda each: each[1] in waits_too_long):
            try:
                deed(shop, id)
            except (TransientError, WrongStatus):
                pass  # Stripe sends the webhook again; or the order has ended meanwhile
            shop.stripe.fault = lambda method, path: ""
    for id in ids:
        shop.settle(id)
    confirmed = [id for id in ids if shop.status(id) == "confirmed"]
    assert {id for id in ids if shop.held(id)} == set(confirmed) and 0 < len(confirmed) < len(ids)
    assert all(shop.stripe.charged(id) in (0, PRICE) and len(shop.stripe.of(id)) == 1 for id in ids)
    assert shop.findings(ids) == []
    sold = inventory.stock.get(shop.platform.product) or {}
    assert (sold["sold"] - before["sold"], sold["reserved"]) == (len(confirmed), 0)


def _late(shop: Shop, id: str) -> None:
    abandon(shop, id)
    approve_and_tell(shop, id)


def _doubled(shop: Shop, id: str) -> None:
    approve_and_tell(shop, id)
    approve_and_resume(shop, id)


def _lost(shop: Shop, id: str) -> None:
    """The buyer approves, and Stripe's answers are lost for a while."""
    shop.stripe.authenticate(id)
    shop.stripe.fault = lambda method, path: "lose"
    approve_and_resume(shop, id)
