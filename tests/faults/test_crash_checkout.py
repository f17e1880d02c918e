"""kill -9 of `orders` at each step of the checkout, before and after its effect, on the way forward and back."""

from dataclasses import dataclass
from itertools import zip_longest

import pytest

from services.orders.checkout import checkout
from tests.faults.scenario import Product, Scenario
from tests.system.platform import Client

DO = [f"do {step.name}" for step in checkout.steps]
UNDO = [f"undo {step.name}" for step in reversed(checkout.steps) if step.undo]
FIRED_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Crash:
    """A crash of a process at a point. The worker gets the saga at a `do` because the web process dies before it."""

    process: str
    point: str
    when: str
    target: str = "self"

    def __str__(self) -> str:
        master = "master of the " if self.target == "parent" else ""
        return f"{master}{self.process} dies {self.when} {self.point}"


WEB = [Crash("web", point, when) for point in (*DO, "undo reserve stock", "undo place") for when in ("before", "after")]
MASTER = [Crash("web", point, "after", target="parent") for point in DO[::2]]
WORKER = [Crash("worker", point, when) for when in ("after", "before") for point in (*DO, *UNDO)]
OTHERS = MASTER + WEB
CRASHES = [crash for turn in zip_longest(WORKER, OTHERS[::2], OTHERS[1::2]) for crash in turn if crash]
"""Processes take turns: one that dies again and again is restarted after an ever longer pause."""
MAX_ATTEMPTS = 5
"""A busy web process may run out of time before it reaches its crash; then the worker continues the saga."""


@pytest.mark.parametrize("death", CRASHES, ids=str)
def test_order_ends_as_expected_after_a_crash(crash: Scenario, person: Client, death: Crash) -> None:
    if death.process == "worker" and death.point in DO:
        crash.arm_crash("orders-web", "do place", "before")
    crash.arm_crash(f"orders-{death.process}", death.point, death.when, target=death.target)
    product, order, status = _order_until_crash(crash, person, death)
    crash.assert_consistent((order, status))
    assert crash.shop.stock(product) == ((8, 0, 2) if status == "confirmed" else (10, 0, 0))
    notified = [item["kind"] for item in person.items("/api/notifications") if order in item["body"]]
    assert notified == [f"order_{status}"]


@pytest.mark.parametrize(("action", "status"), [("cancel", "cancelled"), ("ship", "shipped")])
def test_repeated_last_step_keeps_a_later_status(crash: Scenario, person: Client, action: str, status: str) -> None:
    crash.arm_crash("orders-web", "do confirm order", "after")
    product, order, _ = _order_until_crash(crash, person, Crash("web", "do confirm order", "after"))
    client = person if action == "cancel" else crash.shop.admin()
    response = crash.retry_until_answered(lambda key: client.post(f"/api/orders/{order}/{action}", key=key), action)
    assert response.json()["status"] == status
    crash.assert_consistent((order, status))
    assert crash.shop.stock(product) == ((8, 0, 2) if status == "shipped" else (10, 0, 0))


def _order_until_crash(crash: Scenario, person: Client, death: Crash) -> tuple[Product, str, str]:
    """Return the product, the order that caused the crash, and its expected status."""
    for _ in range(MAX_ATTEMPTS):
        product = crash.shop.product(stock=10)
        order, status = _place_order(crash, person, product, death)
        if death.process == "worker" or crash.has_fired("orders-web"):
            break
    crash.wait_until_fired(f"orders-{death.process}", FIRED_TIMEOUT_S)
    return product, order, status


def _place_order(crash: Scenario, person: Client, product: Product, death: Crash) -> tuple[str, str]:
    """Place an order whose saga reaches the crash; return its id and its expected status."""
    if death.point in DO:
        return crash.place_order(person, product, quantity=2), "confirmed"
    if death.process == "web":
        return crash.place_order(person, product, quantity=2, paymentToken="tok_declined"), "rejected"
    with crash.shop.frozen("payments"):
        order = crash.place_order(person, product, quantity=2)
        response = crash.retry_until_answered(lambda key: person.post(f"/api/orders/{order}/cancel", key=key), "cancel")
        assert (response.status_code, response.json()["status"]) == (202, "pending")
    return order, "cancelled"
