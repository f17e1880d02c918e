"""The checker's part about clients: what their history shows that they were told, and must not have been.

A line of the history: {op, key, about, invoked, ended, outcome: ok | failed | unknown, status, replayed, body}, in the
order in which the answers came. The lines of one order are one client's, who does one thing after the other.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

Operation = dict[str, Any]

ACCEPTED = (201, 202)
ABOUT_ORDERS = ("order", "look", "cancel", "ship", "deliver")
LATER = {
    "": {"pending", "confirmed", "rejected", "cancelled", "shipped", "delivered"},
    "pending": {"pending", "confirmed", "rejected", "cancelled", "shipped", "delivered"},
    "confirmed": {"confirmed", "cancelled", "shipped", "delivered"},
    "shipped": {"shipped", "delivered"},
    "delivered": {"delivered"},
    "rejected": {"rejected"},
    "cancelled": {"cancelled"},
}
"""Status of an order -> what may be seen of it later."""


def accepted_orders(history: Iterable[Operation]) -> set[str]:
    """The orders that an answer promised."""
    return {order_of(line) for line in history if line["op"] == "order" and line.get("status") in ACCEPTED}


def check_history(history: Iterable[Operation]) -> Iterator[str]:
    """Every violation in what clients were told."""
    lines = list(history)
    yield from _one_answer(lines)
    yield from _one_way(lines)


def order_of(line: Operation) -> str:
    """The order that a line is about, "" where it is about none or the answer does not say."""
    if line["about"] or line["op"] not in ABOUT_ORDERS or line.get("status") not in ACCEPTED:
        return str(line["about"])
    return str(json.loads(line["body"])["id"])


def in_use(line: Operation) -> bool:
    """Whether the answer is that an earlier request with the same key is still running."""
    return line.get("status") == 409 and json.loads(line["body"])["type"] == "/problems/key-in-use"


def _one_answer(lines: list[Operation]) -> Iterator[str]:
    """I13: one key and one body have one answer; with another body the key is refused."""
    first: dict[str, Operation] = {}
    for line in lines:
        if not line["key"] or line["outcome"] == "unknown" or in_use(line) or line["status"] == 429:
            continue
        if line["op"] == "order otherwise":
            if line["status"] != 422:
                yield f"I13 key {line['key']}: another body was answered with {line['status']}"
            continue
        known = first.setdefault(line["key"], line)
        if (known["status"], known["body"]) != (line["status"], line["body"]):
            yield f"I13 key {line['key']}: answered with {known['status']} {known['body']}, then {line['status']}"


def _one_way(lines: list[Operation]) -> Iterator[str]:
    """I11: an order that its buyer was told of is there, and its status goes no way back."""
    seen: dict[str, str] = {}
    for line in lines:
        order = order_of(line)
        if not order or line["outcome"] == "unknown" or line["replayed"]:
            continue
        if line["status"] == 404:
            if order in seen:
                yield f"I11 order {order}: its buyer was told of it at first, and then that it is not there"
        elif line["outcome"] == "ok":
            before, now = seen.get(order, ""), json.loads(line["body"])["status"]
            if now not in LATER[before]:
                yield f"I11 order {order}: {now} after {before}"
            seen[order] = now
