"""kill -9 of `orders` at each step of the checkout, done and undone, before and after its effect."""

from dataclasses import dataclass
from itertools import zip_longest

import pytest

from services.orders.checkout import checkout
from tests.faults.scenario import Product, Scenario
from tests.system.platform import Client

DO = [f"do {step.name}" for step in checkout.steps]
UNDO = [f"undo {step.name}" for step in reversed(checkout.steps) if step.undo]


@dataclass(frozen=True)
class Death:
    """Who dies where. A worker that is to die at a `do` gets the saga because the web dies before it has begun."""

    process: str
    point: str
    when: str
    target: str = "self"

    def __str__(self) -> str:
        who = "master of the " if self.target == "parent" else ""
        return f"{who}{self.process} dies {self.when} {self.point}"


WEB = [Death("web", point, when) for point in (*DO, "undo reserve stock", "undo place") for when in ("before", "after")]
MASTER = [Death("web", point, "after", target="parent") for point in DO[::2]]
WORKER = [Death("worker", point, when) for when in ("after", "before") for point in (*DO, *UNDO)]
OTHERS = MASTER + WEB
DEATHS = [death for turn in zip_longest(WORKER, OTHERS[::2], OTHERS[1::2]) for death in turn if death]
"""In turn: a process that dies again and again is restarted ever later."""
TURNS = 5
"""How often a web may be too busy to come to its death: then the worker goes on with the order."""


@pytest.mark.parametrize("death", DEATHS, ids=str)
def test_an_order_ends_as_it_must_whoever_dies(crash: Scenario, person: Client, death: Death) -> None:
    if death.process == "worker" and death.point in DO:
        crash.arm_crash("orders-web", "do place", "before")
    crash.arm_crash(f"orders-{death.process}", death.point, death.when, target=death.target)
    product, order, status = _died(crash, person, death)
    crash.assert_consistent((order, status))
    assert crash.shop.stock(product) == ((8, 0, 2) if status == "confirmed" else (10, 0, 0))
    told = [line["kind"] for line in person.items("/api/notifications") if order in line["body"]]
    assert told == [f"order_{status}"]


@pytest.mark.parametrize(("then", "status"), [("cancel", "cancelled"), ("ship", "shipped")])
def test_what_is_done_with_a_confirmed_order_stands_when_its_last_step_is_repeated(
    crash: Scenario, person: Client, then: str, status: str
) -> None:
    crash.arm_crash("orders-web", "do confirm order", "after")
    product, order, _ = _died(crash, person, Death("web", "do confirm order", "after"))
    who = person if then == "cancel" else crash.shop.admin()
    answer = crash.retry_until_answered(lambda key: who.post(f"/api/orders/{order}/{then}", key=key), then)
    assert answer.json()["status"] == status
    crash.assert_consistent((order, status))
    assert crash.shop.stock(product) == ((8, 0, 2) if status == "shipped" else (10, 0, 0))


def _died(crash: Scenario, person: Client, death: Death) -> tuple[Product, str, str]:
    """The product, the order that came by this death, and how it must end."""
    for _ in range(TURNS):
        product = crash.shop.product(stock=10)
        order, status = _ordered(crash, person, product, death)
        if death.process == "worker" or crash.has_fired("orders-web"):
            break
    crash.wait_until_fired(f"orders-{death.process}")
    return product, order, status


def _ordered(crash: Scenario, person: Client, product: Product, death: Death) -> tuple[str, str]:
    """An order that comes by this death, and how it must end."""
    if death.point in DO:
        return crash.place_order(person, product, quantity=2), "confirmed"
    if death.process == "web":
        return crash.place_order(person, product, quantity=2, paymentToken="tok_declined"), "rejected"
    order = crash.place_order(person, product, quantity=2, paymentToken="tok_slow")
    answer = crash.retry_until_answered(lambda key: person.post(f"/api/orders/{order}/cancel", key=key), "cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    return order, "cancelled"
