"""`mercato audit` on a running platform: it finds nothing while all agrees, and exactly what does not."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chassis import clock
from tests import dump
from tests.faults.checker import unfinished_work
from tests.system.damage import Damage, change, change_in, copy, plant, remove, remove_field
from tests.system.platform import Client, Shop, eventually, expect
from tests.system.running import Platform, image

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Start a platform for this file only, whose data is damaged."""
    platform = Shop(tmp_path_factory.mktemp("audited"), RATE_LIMITS="off")
    try:
        yield platform.up()
    finally:
        platform.down()


def audit(shop: Platform, *services: str, code: int = 0) -> tuple[list[str], dict[str, Any]]:
    """Return (findings, one line each; summary)."""
    done = shop.mercato("audit", *services, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    *rows, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum("notChecked" in row for row in rows) == summary["notChecked"]
    return [" ".join([*map(str, row.values())]) for row in rows], summary


@dataclass
class Story:
    """Orders of each outcome, once nothing is in progress."""

    shop: Shop
    buyer: Client

    def confirmed(self, product: dict[str, Any] | None = None) -> str:
        return str(self.buyer.buy(product or self.shop.product(), quantity=2)["id"])

    def rejected(self) -> str:
        return str(self.buyer.order(self.shop.product(), paymentToken="tok_declined").json()["orderId"])

    def cancelled(self) -> str:
        order = self.confirmed()
        expect(self.buyer.post(f"/api/orders/{order}/cancel"), 200)
        eventually(lambda: {"order.refund_noted", "order.restock_noted"} <= {each["type"] for each in self._of(order)})
        return order

    def shipped(self) -> str:
        order = self.confirmed()
        expect(self.shop.admin().post(f"/api/orders/{order}/ship"), 200)
        return order

    def sold(self) -> str:
        """Return a product of which two units are sold."""
        product = self.shop.product()
        self.confirmed(product)
        return str(product["id"])

    def _of(self, order: str) -> list[dict[str, Any]]:
        return [each for each in self.shop.documents("orders", "streams") if each["stream"] == order]


@pytest.fixture(scope="module")
def story(audited: Shop) -> Story:
    return Story(audited, audited.shopper())


def test_audit_finds_nothing_after_orders_and_refunds(audited: Shop, story: Story) -> None:
    story.confirmed(), story.rejected(), story.cancelled(), story.shipped()
    found, summary = audit(audited)
    assert found == []
    assert summary["checked"] == {"products": 4, "reservations": 4, "orders": 4, "payments": 4}


def test_audit_finds_nothing_while_orders_are_placed(audited: Shop, story: Story) -> None:
    product, over = audited.product(stock=10_000), threading.Event()
    buyers, placed = [audited.shopper() for _ in range(3)], []

    def shop(buyer: Client) -> None:
        while not over.is_set():
            token = {4: "tok_declined", 3: "tok_slow"}.get(len(placed) % 7, "tok_ok")
            order = buyer.order(product, paymentToken=token).json()
            placed.append(order)
            if len(placed) % 3 == 0 and "id" in order:
                buyer.post(f"/api/orders/{order['id']}/cancel")

    threads = [threading.Thread(target=shop, args=(buyer,)) for buyer in buyers]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            before = len(placed)
            found, summary = audit(audited)
            assert (found, summary["findings"]) == ([], 0)
            assert len(placed) > before + 5, "no order was placed meanwhile"
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_audit_finds_exactly_the_planted_damage(audited: Shop, story: Story) -> None:
    long_ago, far = "2020-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"
    mark = {"quantity": 1, "stageVersion": 1, "at": clock.timestamp()}
    planted: list[Damage] = []
    expected: set[str] = set()

    def damage(make: Callable[[str], list[Damage]], id: str, *findings: str) -> None:
        expected.update(finding.format(id=id) for finding in findings)
        planted.extend(make(id))

    stock, reservations = ("inventory", "stock"), ("inventory", "reservations")
    damage(
        lambda id: [change(*stock, id, available=7)],
        story.sold(),
        "inventory product {id} I3 has 1 fewer units than were received",
    )
    damage(
        lambda id: [change(*stock, id, available=-1, sold=11)],
        story.sold(),
        "inventory product {id} I3 available is negative",
        "inventory product {id} I6 has 9 more units sold than its confirmed reservations",
    )
    damage(
        lambda id: [change(*stock, id, available=7, reserved=1)],
        story.sold(),
        "inventory product {id} I4 has 1 more units reserved than allocated",
    )
    damage(
        lambda id: [change(*stock, id, available=7, reserved=1, allocations={"nobody": mark})],
        story.sold(),
        "inventory product {id} I4 allocates 1 units to order nobody, which has no reservation",
    )
    damage(
        lambda id: [change(*reservations, id, status="reserved", expiresAt=far, lines=[])],
        story.rejected(),
        "orders order {id} I6 is rejected, but its reservation is reserved",
    )
    payments, ledger = ("payments", "payments"), ("payments", "test_provider_ledger")
    damage(
        lambda id: [change(*ledger, id, captured=4000)],
        story.confirmed(),
        "payments payment {id} I2 captured 4000 of 2000",
        "payments payment {id} I1 is recorded with 2000, but the provider holds 4000",
    )
    damage(
        lambda id: [change(*ledger, id, refunded=9000)],
        story.cancelled(),
        "payments payment {id} I2 refunded 9000 of 2000",
        "payments payment {id} I1 is recorded with 0, but the provider holds -7000",
    )
    damage(
        lambda id: [change(*payments, id, status="failed")],
        story.confirmed(),
        "payments payment {id} I1 is recorded with 0, but the provider holds 2000",
        "orders order {id} I6 must be paid, but its payment is failed",
    )
    damage(
        lambda id: [change(*payments, id, amount=1000), change(*ledger, id, captured=1000)],
        story.shipped(),
        "orders order {id} I2 costs 20.00 EUR, but its payment is 10.00 EUR",
    )
    damage(
        lambda id: [change(*payments, id, status="unknown", createdAt=long_ago)],
        story.rejected(),
        f"payments payment {{id}} I1 is unknown since {long_ago}",
        "orders order {id} I6 is rejected, but its payment is unknown",
    )
    damage(
        lambda id: [change(*payments, id, status="completed", refundedAmount=0), change(*ledger, id, refunded=0)],
        story.cancelled(),
        "orders order {id} I6 is cancelled, but its payment is completed",
    )
    damage(
        lambda id: [copy(*payments, id, "Nowhere"), copy(*ledger, id, "Nowhere")],
        story.confirmed(),
        "orders order Nowhere I6 does not exist, but its payment is completed",
    )

    damage(
        lambda id: [change(*payments, id, amount="lots")],
        story.confirmed(),
        "payments payment {id} unreadable checking it raised TypeError in check_payment",
        "orders order {id} unreadable cannot be compared: payments responded 422 Invalid input",
    )
    damage(
        lambda id: [remove_field(*payments, id, "currency")],
        story.confirmed(),
        "orders order {id} unreadable cannot be compared: payments responded 500 Internal error",
    )
    damage(
        lambda id: [
            change(*payments, id, amount=10**16),
            change(*ledger, id, captured=10**16),
            change_in("orders", "streams", f"{id}:000001", "data.totalAmount", "100000000000000.00"),
        ],
        story.confirmed(),
        "orders order {id} I2 costs 100000000000000.00 EUR: an amount is from 0 to 9999999999999.99 EUR",
        "orders order {id} I16 differs in the list: totalAmount",
    )

    sagas, streams, summaries = (("orders", name) for name in ("sagas", "streams", "summaries"))
    damage(
        lambda id: [change(*summaries, id, status="pending")],
        story.confirmed(),
        "orders order {id} I16 differs in the list: status",
    )
    damage(
        lambda id: [remove(*streams, f"{id}:000002")],
        story.confirmed(),
        "orders order {id} I5 is pending, but its saga has ended",
        "orders order {id} I16 differs in the list: paymentId, status, updatedAt, version",
    )
    damage(
        lambda id: [remove(*streams, f"{id}:000001")],
        story.rejected(),
        "orders order {id} I10 its versions lack 1",
        "orders order {id} I8 its public events lack 1",
        "orders order {id} I10 order.rejected occurs while the order is not placed",
    )
    damage(
        lambda id: [change(*streams, f"{id}:000002", type="order.teleported")],
        story.rejected(),
        "orders order {id} I10 its events cannot be read: KeyError",
    )
    damage(lambda id: [remove(*sagas, id)], story.shipped(), "orders order {id} I9 has no saga")
    damage(
        lambda id: [change(*sagas, id, open=True, ended="", openedAt=long_ago, due=far)],
        story.confirmed(),
        f"orders order {{id}} I5 its saga is open since {long_ago}",
    )
    damage(
        lambda id: [change(*sagas, id, ended="done")],
        story.rejected(),
        "orders order {id} I6 is not confirmed, but its saga ended done",
    )

    eventually(lambda: not unfinished_work(dump.read(audited.place)))
    for each in planted:
        plant(audited, each)
    found, summary = audit(audited, code=1)
    assert {re.sub(", line [0-9]+$", "", each) for each in found} == expected
    assert summary["findings"] == len(expected)
    assert summary["notChecked"] == 0


@pytest.mark.parametrize(("service", "nouns"), [("payments", {"payments"}), ("orders", {"orders"}), ("users", set())])
def test_audit_in_an_image_checks_its_service_only(
    audited: Shop, tmp_path: Path, service: str, nouns: set[str]
) -> None:
    alone = image(tmp_path, service, DATA_DIR=str(audited.data))
    found, summary = audit(alone, code=1 if nouns else 2)
    assert all(line.startswith(service) for line in found) or found == [
        "no service that is installed here audits anything"
    ]
    assert summary["checked"].keys() == nouns


def test_audit_reports_what_an_unavailable_service_hides(audited: Shop) -> None:
    with audited.frozen("payments"):
        found, summary = audit(audited, "orders", code=2)
    (line,) = found
    assert line.startswith("orders order payments: ")
    assert summary == {"checked": {"orders": 0}, "findings": 0, "notChecked": 1}


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ((), "nothing runs in"),
        (("users",), "users audits nothing"),
        (("orderz",), "there is no service 'orderz'"),
    ],
)
def test_audit_that_cannot_check_exits_with_2(tmp_path: Path, services: tuple[str, ...], why: str) -> None:
    done = Platform(tmp_path).mercato("audit", *services)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"could not check: {why}" in done.stderr
    assert done.stdout == "checked nothing: 0 findings, 1 could not be checked\n"
