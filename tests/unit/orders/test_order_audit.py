"""Audit of orders: the events of an order against its saga, the list, its payment and its reservation."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import clock
from chassis.errors import DomainError, NotFound
from services.inventory.messages import Line, ReservationState
from services.orders import domain, invariants, projection
from services.orders.messages import OrderItem, OrderPlaced
from services.payments.messages import PaymentState

ITEMS = [OrderItem(product_id="mug", name="Mug", quantity=2, price="10.00")]
PLACED = OrderPlaced(order_id="o1", user_id="u1", items=ITEMS, total_amount="20.00", currency="EUR")
DECISIONS = {
    "place": lambda order: domain.place(order, PLACED),
    "confirm": lambda order: domain.confirm(order, "o1"),
    "reject": lambda order: domain.reject(order, "payment_declined"),
    "cancel": domain.cancel,
    "ship": domain.ship,
    "deliver": domain.deliver,
    "note refund": domain.note_refund,
    "note restock": domain.note_restock,
}


@pytest.fixture(autouse=True)
def _clock(fake_clock):
    return fake_clock


def details(findings):
    return [f"{each.invariant} {each.detail}" for each in findings]


def history(wanted):
    """Return (events, versions, sequences) of an order after these decisions, without those that were rejected."""
    order, events, sequences = domain.NEW, [], []
    for name in ["place", *wanted]:
        try:
            event = DECISIONS[name](order)
        except (DomainError, NotFound):
            continue
        if event:
            order = order.apply(event, "2030-01-01T00:00:00.000Z")
            events.append(event)
            sequences.append(max(sequences, default=0) + 1 if event.public else 0)
    return events, list(range(1, len(events) + 1)), sequences


def without(parts, at):
    return [[*part[:at], *part[at + 1 :]] for part in parts]


histories = st.lists(st.sampled_from(sorted(DECISIONS)), max_size=12).map(history)


@given(histories)
def test_audit_accepts_every_history_that_decisions_allow(parts):
    assert details(invariants.check_history("o1", *parts)) == []


@given(histories, st.data())
def test_audit_finds_a_missing_event_unless_it_was_the_last(parts, data):
    at = data.draw(st.integers(0, len(parts[0]) - 1))
    lacks = f"I10 its versions lack {at + 1}"
    assert (lacks in details(invariants.check_history("o1", *without(parts, at)))) is (at < len(parts[0]) - 1)


@given(histories, st.data())
def test_audit_finds_a_duplicate_event(parts, data):
    events, versions, sequences = parts
    twice = data.draw(st.sampled_from(events))
    found = details(invariants.check_history("o1", [*events, twice], [*versions, len(versions) + 1], [*sequences, 0]))
    assert f"I7 {twice.type} occurs 2 times" in found


def order(status="confirmed", age=3600.0, **fields):
    return domain.Order(
        id="o1",
        user_id="u1",
        items=tuple(ITEMS),
        total_amount="20.00",
        currency="EUR",
        status=status,
        payment_id="o1" if status in domain.PAID else "",
        version=2,
        created_at=clock.timestamp_ago(age),
        updated_at=clock.timestamp_ago(age),
        **fields,
    )


def payment(status="completed", amount=2000, refunded=0, currency="EUR"):
    return PaymentState(order_id="o1", amount=amount, currency=currency, status=status, refunded=refunded)


def reservation(status="confirmed", quantity=2):
    lines = [Line(product_id="mug", quantity=quantity)]
    return ReservationState(order_id="o1", status=status, lines=lines)


@pytest.mark.parametrize("status", domain.PAID)
def test_audit_accepts_a_paid_order_with_payment_and_units(status):
    assert details(invariants.check_payment(order(status), payment())) == []
    assert details(invariants.check_reservation(order(status), reservation())) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, "I6 must be paid, but its payment is absent"),
        (payment("failed"), "I6 must be paid, but its payment is failed"),
        (payment("pending"), "I6 must be paid, but its payment is pending"),
        (payment("refunded", refunded=2000), "I6 must be paid, but its payment is refunded"),
        (payment(amount=1999), "I2 costs 20.00 EUR, but its payment is 19.99 EUR"),
        (payment(currency="USD"), "I2 costs 20.00 EUR, but its payment is 20.00 USD"),
    ],
)
def test_audit_finds_a_paid_order_without_its_payment(found, expected):
    assert details(invariants.check_payment(order(), found)) == [expected]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, "I6 must be delivered, but its reservation is absent"),
        (reservation("released"), "I6 must be delivered, but its reservation is released"),
        (reservation("reserved"), "I6 must be delivered, but its reservation is reserved"),
        (reservation(quantity=1), "I6 its reservation has other units than the order"),
    ],
)
def test_audit_finds_a_paid_order_without_its_units(found, expected):
    assert details(invariants.check_reservation(order(), found)) == [expected]


@pytest.mark.parametrize("status", domain.ENDED)
def test_audit_finds_payment_or_units_left_at_an_ended_order(status):
    for found in (None, payment("failed"), payment("refunded", refunded=2000)):
        assert details(invariants.check_payment(order(status), found)) == []
    for found in (None, reservation("released"), reservation("refused"), reservation("returned")):
        assert details(invariants.check_reservation(order(status), found)) == []
    for wrong in ("completed", "unknown", "pending"):
        assert details(invariants.check_payment(order(status), payment(wrong))) == [
            f"I6 is {status}, but its payment is {wrong}"
        ]
    for wrong in ("confirmed", "reserved", "returning"):
        found = details(invariants.check_reservation(order(status), reservation(wrong)))
        assert found == [f"I6 is {status}, but its reservation is {wrong}"]
    half = payment("refunded", refunded=1000)
    assert details(invariants.check_payment(order(status), half)) == [
        f"I6 is {status}, but its payment is refunded by 1000 of 2000"
    ]


def test_audit_waits_for_the_refund_of_a_canceled_order():
    fresh = order("cancelled", age=invariants.CONSISTENT_AFTER_S - 1)
    assert (
        details(invariants.check_payment(fresh, payment()))
        == details(invariants.check_reservation(fresh, reservation()))
        == []
    )
    for late in (
        replace(fresh, refunded=True, restocked=True),
        order("cancelled", age=invariants.CONSISTENT_AFTER_S + 1),
    ):
        assert details(invariants.check_payment(late, payment())) == ["I6 is cancelled, but its payment is completed"]
        assert details(invariants.check_reservation(late, reservation())) == [
            "I6 is cancelled, but its reservation is confirmed"
        ]


def test_audit_accepts_any_payment_of_a_pending_order():
    for found in (None, payment("unknown"), payment()):
        assert details(invariants.check_payment(order("pending"), found)) == []
    for found in (None, reservation("reserved"), reservation("released")):
        assert details(invariants.check_reservation(order("pending"), found)) == []


def test_audit_finds_a_payment_without_an_order():
    assert details(invariants.check_unknown_order("o1", None, None)) == []
    assert details(invariants.check_unknown_order("o1", payment(), reservation("reserved"))) == [
        "I6 does not exist, but its payment is completed",
        "I6 does not exist, but its reservation is reserved",
    ]


def saga(open=False, ended="done", age=60.0):
    return {"open": open, "ended": "" if open else ended, "openedAt": clock.timestamp_ago(age)}


@pytest.mark.parametrize(
    ("status", "begun", "expected"),
    [
        ("", None, []),
        ("", {"open": True}, []),
        ("pending", {"open": True}, []),
        ("confirmed", {"open": True}, []),
        ("confirmed", {}, []),
        ("cancelled", {"ended": "undone"}, []),
        ("rejected", {"ended": "undone"}, []),
        ("confirmed", None, ["I9 has no saga"]),
        ("", {}, ["I5 does not exist, but its saga has ended"]),
        ("pending", {}, ["I5 is pending, but its saga has ended"]),
        ("rejected", {}, ["I6 is not confirmed, but its saga ended done"]),
        ("shipped", {"ended": "undone"}, ["I6 is confirmed, but its saga ended undone"]),
    ],
)
def test_audit_compares_the_order_with_the_outcome_of_its_saga(status, begun, expected):
    now = order(status) if status else domain.NEW
    assert details(invariants.check_saga_outcome("o1", now, None if begun is None else saga(**begun))) == expected


def test_audit_finds_a_saga_that_does_not_end():
    stuck = saga(open=True, age=invariants.DECIDED_AFTER_S + 1)
    assert details(invariants.check_saga_outcome("o1", order("pending"), stuck)) == [
        f"I5 its saga is open since {stuck['openedAt']}"
    ]


@pytest.mark.parametrize(("over_s", "late"), [(-300, False), (55, False), (65, True)])
def test_audit_gives_a_buyer_the_time_to_confirm_the_payment(over_s, late):
    waiting = {"since": clock.timestamp_ago(5000), "until": clock.timestamp_ago(over_s)}
    found = details(
        invariants.check_saga_outcome("o1", order("pending"), {**saga(open=True, age=5001), "waiting": waiting})
    )
    assert found == ([f"I5 its saga waits for the buyer, who had time until {waiting['until']}"] if late else [])


def test_audit_finds_a_saga_that_does_not_end_after_its_buyer_was_at_the_bank():
    age_s = invariants.DECIDED_AFTER_S + 600
    for waited_s in (590, 610):
        came_back = {**saga(open=True, age=age_s), "waitedMs": waited_s * 1000, "waiting": None}
        found = details(invariants.check_saga_outcome("o1", order("pending"), came_back))
        assert found == ([f"I5 its saga is open since {came_back['openedAt']}"] if waited_s == 590 else [])


def test_audit_compares_the_list_with_the_events():
    old, fresh = order(), order(age=invariants.CONSISTENT_AFTER_S - 1)
    right = projection.summary_of(old)
    behind = {**right, "version": 1, "status": "pending"}
    assert details(invariants.check_summary("o1", old, right, right)) == []
    assert details(invariants.check_summary("o1", old, right, None)) == ["I16 is not in the list"]
    assert details(invariants.check_summary("o1", old, right, behind)) == ["I16 differs in the list: status, version"]
    assert details(invariants.check_summary("o1", domain.NEW, right, right)) == [
        "I16 is in the list, but has no events"
    ]
    for shown in (None, {**projection.summary_of(fresh), "version": 1}):
        assert details(invariants.check_summary("o1", fresh, projection.summary_of(fresh), shown)) == []
    changed = {**projection.summary_of(fresh), "totalAmount": "1.00"}
    assert details(invariants.check_summary("o1", fresh, projection.summary_of(fresh), changed)) == [
        "I16 differs in the list: totalAmount"
    ]


@pytest.mark.parametrize("total", ["10000000000000.00", "92233720368547758.08", "1e99", "-1.00", "20.005", "", "x"])
def test_audit_finds_a_total_that_is_no_amount(total):
    (found,) = details(invariants.check_total(replace(order(), total_amount=total)))
    assert found.startswith(f"I2 costs {total} EUR: ")


def test_audit_compares_totals_that_are_too_large():
    large = replace(order(), total_amount="100000000000000.00")
    assert details(invariants.check_payment(large, payment(amount=10**16))) == []
    assert details(invariants.check_payment(large, payment(amount=10**16 + 1))) == [
        "I2 costs 100000000000000.00 EUR, but its payment is 100000000000000.01 EUR"
    ]
    assert details(invariants.check_total(order())) == []
