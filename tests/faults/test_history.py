"""A history in which clients were told something wrong is seen for what it is."""

import json
from typing import Any

import pytest

from tests.faults.history import Operation, accepted_orders, check_history


def line(op: str, code: int = 200, key: str = "", about: str = "", **body: Any) -> Operation:
    outcome = "ok" if code < 400 else "failed" if code < 500 else "unknown"
    said = {"outcome": outcome, "status": code, "replayed": False, "body": json.dumps(body)}
    return {"op": op, "key": key, "about": about, "invoked": "", "ended": "", **said}


PLACED = line("order", 201, key="k1", id="o1", status="confirmed")
PENDING = line("order", 202, key="k1", id="o1", status="pending")
NO_ANSWER = {"op": "order", "key": "k1", "about": "", "outcome": "unknown", "replayed": False, "why": "timed out"}
RUNNING = line("order", 409, key="k1", type="/problems/key-in-use")


def look(status: str) -> Operation:
    return line("look", about="o1", id="o1", status=status)


NOT_THERE = line("look", 404, about="o1")
SOUND = [
    [NO_ANSWER, line("order", 503, key="k1"), RUNNING, PLACED, {**PLACED, "replayed": True}],
    [line("order", 402, key="k1", orderId="o1"), line("order otherwise", 422, key="k1")],
    [PENDING, look("pending"), look("confirmed"), look("shipped"), {**PENDING, "replayed": True}, look("delivered")],
    [PLACED, line("cancel", key="k2", about="o1", id="o1", status="cancelled"), look("cancelled")],
    [PLACED, line("look", 503, about="o1"), look("confirmed")],
    [line("user", 201, key="k1", id="u1")],
]
WRONG = [
    ("I13", "two orders for one key", [PLACED, line("order", 201, key="k1", id="o2", status="confirmed")]),
    ("I13", "another status for one key", [PLACED, line("order", 402, key="k1", id="o1")]),
    ("I13", "another body taken", [PLACED, line("order otherwise", 201, key="k1", id="o1", status="confirmed")]),
    ("I11", "an order that was accepted is not there", [PENDING, NOT_THERE]),
    ("I11", "an order that was seen is gone", [look("confirmed"), NOT_THERE]),
    ("I11", "a status that goes back", [PLACED, look("pending")]),
    ("I11", "an end that was none", [look("rejected"), look("confirmed")]),
    ("I11", "shipped and then cancelled", [look("shipped"), look("cancelled")]),
]


@pytest.mark.parametrize("history", SOUND)
def test_a_sound_history_has_no_violation(history: list[Operation]) -> None:
    assert list(check_history(history)) == []


@pytest.mark.parametrize(("number", "what", "history"), WRONG, ids=[f"{number} {what}" for number, what, _ in WRONG])
def test_a_planted_violation_is_seen(number: str, what: str, history: list[Operation]) -> None:
    assert [violation.split()[0] for violation in check_history(history)] == [number]


def test_accepted_is_what_an_answer_promised() -> None:
    assert accepted_orders([PENDING, line("order", 402, key="k2", orderId="o2"), NO_ANSWER]) == {"o1"}
