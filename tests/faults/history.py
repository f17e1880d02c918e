"""Checks of the client history: which responses contradict each other (invariants I11 and I13).

An operation of the history: {op, key, order, invoked, ended, outcome: ok | failed | unknown, status, replayed, body}.
The history is in the order of the responses. All operations on one order come from one client, one after the other.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

Operation = dict[str, Any]

ACCEPTED = (201, 202)
MAX_KEPT_BODY = 8 * 1024
"""Characters of a body that is certainly replayed as it was."""
ORDER_OPS = ("order", "read", "cancel", "ship", "deliver")
REACHABLE = {
    "": {"pending", "confirmed", "rejected", "cancelled", "shipped", "delivered"},
    "pending": {"pending", "confirmed", "rejected", "cancelled", "shipped", "delivered"},
    "confirmed": {"confirmed", "cancelled", "shipped", "delivered"},
    "shipped": {"shipped", "delivered"},
    "delivered": {"delivered"},
    "rejected": {"rejected"},
    "cancelled": {"cancelled"},
}
"""Status of an order -> statuses that a later response may show."""


def accepted_orders(history: Iterable[Operation]) -> set[str]:
    """Return the ids of the orders that a response has accepted."""
    return {order_id(each) for each in history if each["op"] == "order" and each.get("status") in ACCEPTED}


def check_history(history: Iterable[Operation]) -> Iterator[str]:
    """Yield every violation in the responses that clients got."""
    operations = list(history)
    yield from _check_one_response_per_key(operations)
    yield from _check_status_transitions(operations)


def order_id(operation: Operation) -> str:
    """Return the id of the operation's order, "" where there is none or the response does not name it."""
    if operation["order"] or operation["op"] not in ORDER_OPS or operation.get("status") not in ACCEPTED:
        return str(operation["order"])
    return str(json.loads(operation["body"])["id"])


def is_key_in_use(operation: Operation) -> bool:
    """Whether the response says that an earlier request with the same key is still running."""
    return operation.get("status") == 409 and json.loads(operation["body"])["type"] == "/problems/key-in-use"


def is_kept(operation: Operation) -> bool:
    """Whether the platform keeps the response: a success, or an error that names the order which it rejected."""
    return operation["status"] < 400 or "orderId" in json.loads(operation["body"])


def _check_one_response_per_key(operations: list[Operation]) -> Iterator[str]:
    """I13: once a response is kept, its key and body get it again, and another body under the key is rejected.

    A 4xx that changed nothing frees its key. A large body is read again, and may have changed.
    """
    first: dict[str, Operation] = {}
    for each in operations:
        if not each["key"] or each["outcome"] == "unknown" or is_key_in_use(each) or each["status"] == 429:
            continue
        if each["op"] == "order with other body":
            if each["key"] in first and each["status"] != 422:
                yield f"I13 key {each['key']}: another body got {each['status']}"
            continue
        if each["key"] not in first and not is_kept(each):
            continue
        known = first.setdefault(each["key"], each)
        is_read_again = len(known["body"]) > MAX_KEPT_BODY and each["status"] == known["status"]
        if not is_read_again and (known["status"], known["body"]) != (each["status"], each["body"]):
            yield f"I13 key {each['key']}: got {known['status']} {known['body']}, then {each['status']}"


def _check_status_transitions(operations: list[Operation]) -> Iterator[str]:
    """I11: an order that its buyer has seen exists, and its status never moves backward."""
    seen: dict[str, str] = {}
    for each in operations:
        order = order_id(each)
        if not order or each["outcome"] == "unknown" or each["replayed"]:
            continue
        if each["status"] == 404:
            if order in seen:
                yield f"I11 order {order}: not found after its buyer has seen it"
        elif each["outcome"] == "ok":
            before, now = seen.get(order, ""), json.loads(each["body"])["status"]
            if now not in REACHABLE[before]:
                yield f"I11 order {order}: {now} after {before}"
            seen[order] = now
