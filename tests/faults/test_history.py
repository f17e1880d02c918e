"""Tests of the history checks: they find contradicting responses, and only those."""

import json
from typing import Any

import pytest

from tests.faults.history import Operation, accepted_orders, check_history


def operation(op: str, status_code: int = 200, key: str = "", order: str = "", **body: Any) -> Operation:
    outcome = "ok" if status_code < 400 else "failed" if status_code < 500 else "unknown"
    result = {"outcome": outcome, "status": status_code, "replayed": False, "body": json.dumps(body)}
    return {"op": op, "key": key, "order": order, "invoked": "", "ended": "", **result}


def read(status: str) -> Operation:
    return operation("read", order="o1", id="o1", status=status)


PLACED = operation("order", 201, key="k1", id="o1", status="confirmed")
PENDING = operation("order", 202, key="k1", id="o1", status="pending")
NO_RESPONSE = {"op": "order", "key": "k1", "order": "", "outcome": "unknown", "replayed": False, "error": "timed out"}
KEY_IN_USE = operation("order", 409, key="k1", type="/problems/key-in-use")
LARGE_PLACED = operation("order", 201, key="k1", id="o1", status="confirmed", items="x" * 9000)
NOT_FOUND = operation("read", 404, order="o1")

VALID = [
    [NO_RESPONSE, operation("order", 503, key="k1"), KEY_IN_USE, PLACED, {**PLACED, "replayed": True}],
    [operation("order", 402, key="k1", orderId="o1"), operation("order with other body", 422, key="k1")],
    [PENDING, read("pending"), read("confirmed"), read("shipped"), {**PENDING, "replayed": True}, read("delivered")],
    [PLACED, operation("cancel", key="k2", order="o1", id="o1", status="cancelled"), read("cancelled")],
    [PLACED, operation("read", 503, order="o1"), read("confirmed")],
    [operation("user", 201, key="k1", id="u1")],
    [operation("order", 422, key="k1"), PLACED, {**PLACED, "replayed": True}],
    [operation("order", 404, key="k1"), operation("order with other body", 201, key="k1", id="o1", status="confirmed")],
    [LARGE_PLACED, {**LARGE_PLACED, "body": LARGE_PLACED["body"].replace("confirmed", "shipped"), "replayed": True}],
]
INVALID = [
    ("I13", "two orders under one key", [PLACED, operation("order", 201, key="k1", id="o2", status="confirmed")]),
    ("I13", "two statuses under one key", [PLACED, operation("order", 402, key="k1", id="o1")]),
    ("I13", "kept response forgotten", [PLACED, operation("order", 422, key="k1")]),
    (
        "I13",
        "rejected order forgotten",
        [operation("order", 402, key="k1", orderId="o1"), operation("order", 201, key="k1", id="o2", status="pending")],
    ),
    ("I13", "other status of a large body", [LARGE_PLACED, {**LARGE_PLACED, "status": 202, "replayed": True}]),
    (
        "I13",
        "other body accepted",
        [PLACED, operation("order with other body", 201, key="k1", id="o1", status="confirmed")],
    ),
    ("I11", "accepted order not found", [PENDING, NOT_FOUND]),
    ("I11", "seen order not found", [read("confirmed"), NOT_FOUND]),
    ("I11", "status moves backward", [PLACED, read("pending")]),
    ("I11", "final status changes", [read("rejected"), read("confirmed")]),
    ("I11", "canceled after shipping", [read("shipped"), read("cancelled")]),
]


@pytest.mark.parametrize("history", VALID)
def test_valid_history_has_no_violation(history: list[Operation]) -> None:
    assert list(check_history(history)) == []


@pytest.mark.parametrize(
    ("number", "what", "history"), INVALID, ids=[f"{number} {what}" for number, what, _ in INVALID]
)
def test_planted_violation_is_found(number: str, what: str, history: list[Operation]) -> None:
    assert [violation.split()[0] for violation in check_history(history)] == [number]


def test_accepted_orders_are_those_with_201_or_202() -> None:
    rejected = operation("order", 402, key="k2", orderId="o2")
    assert accepted_orders([PENDING, rejected, NO_RESPONSE]) == {"o1"}
