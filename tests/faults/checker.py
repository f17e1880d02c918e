"""The checker: verifies the invariants on the stored data and the published events of an idle platform.

    violations = check(dump.read(data_dir))        [] or lines such as "I2 order o1: captured 2000 of 1000"

The numbers I1 to I16 are those of docs/reliability-tests.md; each function checks a few of them. The checker shares no
code with the services. `unfinished_work` lists what is in progress: until it is empty the invariants need not hold.
"""

from collections import Counter, defaultdict
from collections.abc import Collection as Some
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from chassis.money import Money
from tests.dump import Doc, Docs, Dump
from tests.faults.event_checks import check_dead_letters, check_events

PAID = ("confirmed", "shipped", "delivered")
FINAL = (*PAID, "rejected", "cancelled")
ALLOWED_AFTER = {
    "order.placed": ("",),
    "order.cancel_requested": ("pending",),
    "order.confirmed": ("pending",),
    "order.rejected": ("pending",),
    "order.cancelled": ("pending", "confirmed"),
    "order.shipped": ("confirmed",),
    "order.delivered": ("shipped",),
    "order.refund_noted": ("pending", *FINAL),
    "order.restock_noted": ("pending", *FINAL),
}
"""Event type -> statuses of the order in which it may occur."""
STATUS_AFTER = {"order.placed": "pending"} | {f"order.{status}": status for status in FINAL}
EXPIRY_TOLERANCE = timedelta(seconds=60)
"""How long after its expiry a reservation may stay reserved."""


def check(dump: Dump, accepted: Iterable[str] = (), poison: Some[str] = ()) -> list[str]:
    """Return every violation.

    Args:
        accepted: ids of the orders that a response has accepted (201 or 202).
        poison: keys under which the test has published malformed records.
    """
    orders = {id: fold(commits) for id, commits in event_streams(dump).items()}
    parts = (
        check_finality(dump, orders, accepted),
        check_payments(dump, orders),
        check_stock(dump),
        check_units(dump),
        check_reservations(dump, orders),
        check_event_streams(dump),
        check_read_models(dump, orders),
        check_follow_up_events(dump),
        check_events(dump),
        check_dead_letters(dump, poison),
    )
    return [violation for part in parts for violation in part]


def unfinished_work(dump: Dump) -> list[str]:
    """Return what is still in progress."""
    found = [f"saga {id} is open" for id, saga in dump.docs("orders", "sagas").items() if saga["open"]]
    for service, collections in dump.stores.items():
        for name, docs in collections.items():
            if pending := sum(doc["pending"] for doc in docs.values() if isinstance(doc.get("pending"), int)):
                found.append(f"{pending} events are pending in {service}.{name}")
    found += lagging_groups(dump.lag)
    for id, payment in dump.docs("payments", "payments").items():
        if payment["refundPending"]:
            found.append(f"the refund of {id} is pending")
    for id, reservation in dump.docs("inventory", "reservations").items():
        if reservation["stagePending"] or reservation["returnPending"]:
            found.append(f"the reservation of {id} is in progress")
    return found


def lagging_groups(lag: dict[tuple[str, str], int]) -> list[str]:
    """Return the consumer groups that lag."""
    return [f"{group} lags by {records} on {topic}" for (group, topic), records in lag.items() if records]


def event_streams(dump: Dump) -> dict[str, list[Doc]]:
    """Return order id -> commits, by version."""
    found: dict[str, list[Doc]] = defaultdict(list)
    for commit in dump.docs("orders", "streams").values():
        found[commit["stream"]].append(commit)
    return {id: sorted(commits, key=lambda commit: commit["version"]) for id, commits in found.items()}


def fold(commits: list[Doc]) -> Doc:
    """Return the state of an order after its commits, written independently of the code under test."""
    order: Doc = {"status": "", "reason": "", "paymentId": "", "refunded": False, "restocked": False}
    for commit in commits:
        data = commit["data"]
        order["status"] = STATUS_AFTER.get(commit["type"], order["status"])
        if commit["type"] == "order.placed":
            order |= {name: data[name] for name in ("userId", "items", "totalAmount", "currency")}
        order["reason"] = data.get("reason", order["reason"])
        order["paymentId"] = data.get("paymentId", order["paymentId"])
        order["refunded"] |= commit["type"] == "order.refund_noted"
        order["restocked"] |= commit["type"] == "order.restock_noted"
        order["version"] = commit["version"]
    return order


def check_finality(dump: Dump, orders: Docs, accepted: Iterable[str]) -> Iterator[str]:
    """I5, I6, I9, I15: accepted orders are final, and each saga has ended as its order shows."""
    sagas = dump.docs("orders", "sagas")
    for id in accepted:
        if id not in orders:
            yield f"I5 order {id}: accepted and absent"
    for id, order in orders.items():
        if order["status"] not in FINAL:
            yield f"I5 order {id}: {order['status']}, not final"
        if id not in sagas:
            yield f"I9 order {id}: no saga placed it"
    for id, saga in sagas.items():
        status = orders.get(id, {}).get("status", "absent")
        if saga["open"]:
            yield f"I5 saga {id}: still open"
        elif (saga["ended"] == "done") != (orders.get(id, {}).get("paymentId", "") != ""):
            yield f"I6 saga {id}: ended {saga['ended']}, but its order is {status}"
        if not saga["open"] and "payment_token" in saga["data"]:
            yield f"I15 saga {id}: keeps the payment token"


def check_payments(dump: Dump, orders: Docs) -> Iterator[str]:
    """I1, I2, I6: orders, payments and the provider's ledger agree on each amount."""
    ledger, payments = dump.docs("payments", "test_provider_ledger"), dump.docs("payments", "payments")
    owed = paid = held_in_total = 0
    for id in sorted({*ledger, *payments, *orders}):
        entry = ledger.get(id, {"captured": 0, "refunded": 0})
        order, payment = orders.get(id), payments.get(id)
        total = Money.parse(order["totalAmount"], order["currency"]).minor if order else 0
        due = total if order and order["status"] in PAID else 0
        if entry["captured"] not in (0, total):
            yield f"I2 order {id}: captured {entry['captured']} of {total}"
        if entry["refunded"] > entry["captured"]:
            yield f"I2 order {id}: refunded {entry['refunded']} of {entry['captured']}"
        held = entry["captured"] - entry["refunded"]
        if held != due:
            yield f"I6 order {id}: {order['status'] if order else 'absent'}, and the provider holds {held}"
        recorded = 0
        if payment:
            recorded = payment["amount"] if payment["status"] in ("completed", "refunded") else 0
            recorded -= payment["refundedAmount"]
            if payment["status"] not in ("completed", "failed", "refunded"):
                yield f"I1 order {id}: its payment is {payment['status']}"
        if recorded != held:
            yield f"I1 order {id}: payments records {recorded}, the provider holds {held}"
        owed, paid, held_in_total = owed + due, paid + recorded, held_in_total + held
    if not owed == paid == held_in_total:
        yield f"I1 paid orders add up to {owed}, payments to {paid}, the provider's ledger to {held_in_total}"


def check_stock(dump: Dump) -> Iterator[str]:
    """I3, I4: the counters of each product add up. Holds at every moment, on a running platform, too."""
    for product, doc in dump.docs("inventory", "stock").items():
        counts = {name: doc[name] for name in ("available", "reserved", "sold")}
        if min(counts.values()) < 0:
            yield f"I3 product {product}: {counts}"
        if sum(counts.values()) != doc["received"]:
            yield f"I3 product {product}: {counts} of {doc['received']} received"
        if doc["reserved"] != sum(mark["quantity"] for mark in doc["allocations"].values()):
            yield f"I4 product {product}: reserved {doc['reserved']}, which its allocations do not add up to"


def check_units(dump: Dump) -> Iterator[str]:
    """I4, I6: reserved and sold units of each product are the sums over the reservations."""
    units: dict[str, Counter[str]] = {"reserved": Counter(), "confirmed": Counter()}
    for doc in dump.docs("inventory", "reservations").values():
        units.get(doc["status"], Counter()).update(_units(doc["lines"]))
    for product, doc in dump.docs("inventory", "stock").items():
        if doc["reserved"] != units["reserved"][product]:
            yield f"I4 product {product}: reserved {doc['reserved']}, by reservations {units['reserved'][product]}"
        if doc["sold"] != units["confirmed"][product]:
            yield f"I6 product {product}: sold {doc['sold']}, by reservations {units['confirmed'][product]}"


def check_reservations(dump: Dump, orders: Docs) -> Iterator[str]:
    """I4, I6: no reservation is half done or overdue, and each is as its order demands."""
    found = dump.docs("inventory", "reservations")
    for id, doc in found.items():
        if doc["stagePending"]:
            yield f"I4 reservation {id}: left {doc['status']}"
        is_reserved = doc["status"] == "reserved"
        if is_reserved and datetime.fromisoformat(doc["expiresAt"]) + EXPIRY_TOLERANCE < datetime.now(UTC):
            yield f"I4 reservation {id}: expired at {doc['expiresAt']} and still reserved"
        if id not in orders:
            yield f"I6 reservation {id}: no such order"
    for id, order in orders.items():
        status = found[id]["status"] if id in found else "absent"
        if order["status"] in PAID:
            if status != "confirmed" or _units(found[id]["lines"]) != _units(order["items"]):
                yield f"I6 order {id}: {order['status']}, its reservation is {status}"
        elif status not in ("absent", "released", "refused", "returned"):
            yield f"I6 order {id}: {order['status']}, its reservation is {status}"


def check_event_streams(dump: Dump) -> Iterator[str]:
    """I7, I8, I10: the stream of each order has no gap, no duplicate and no illegal transition."""
    for id, commits in event_streams(dump).items():
        versions = [commit["version"] for commit in commits]
        if versions != list(range(1, len(commits) + 1)):
            yield f"I10 order {id}: versions {versions}"
        public = [commit["sequence"] for commit in commits if commit["sequence"]]
        if public != list(range(1, len(public) + 1)):
            yield f"I8 order {id}: public events numbered {public}"
        status = ""
        for commit in commits:
            if status not in ALLOWED_AFTER[commit["type"]]:
                yield f"I10 order {id}: {commit['type']} while {status or 'absent'}"
            status = STATUS_AFTER.get(commit["type"], status)
        for type, count in Counter(commit["type"] for commit in commits).items():
            if count > 1:
                yield f"I7 order {id}: {type} {count} times"


def check_read_models(dump: Dump, orders: Docs) -> Iterator[str]:
    """I16: read models show what their sources hold."""
    summaries = dump.docs("orders", "summaries")
    for id in sorted({*summaries, *orders}):
        stored, expected = summaries.get(id, {}), orders.get(id, {})
        wrong = [name for name in expected if stored.get(name) != expected[name]] or (not expected and ["everything"])
        if wrong:
            yield f"I16 summary {id}: {', '.join(wrong)} not as the events say"
    stocks = dump.docs("inventory", "stock")
    for id, product in dump.docs("products", "products").items():
        if id not in stocks:
            yield f"I16 product {id}: no stock"
            continue
        shown, expected_stock = product["stock"], 0 if stocks[id]["closed"] else stocks[id]["available"]
        consumed, published = product["last_seq"]["inventory"], stocks[id]["seq"]
        # The opening of the stock may be consumed before the product is inserted, which shows it from the start.
        is_current = consumed == published or (consumed, published) == (0, 1)
        if shown != expected_stock or not is_current:
            yield f"I16 product {id}: shows {shown} in stock by event {consumed}, has {expected_stock} by {published}"
    recipients = dump.docs("notifications", "recipients")
    for id, account in dump.docs("users", "accounts").items():
        if recipients.get(id, {}).get("email") != account.get("email"):
            yield f"I16 recipient {id}: another address than the account's"


def check_follow_up_events(dump: Dump) -> Iterator[str]:
    """I7: a refund or restock that another service published is in the order's stream exactly once."""
    commits = Counter((commit["stream"], commit["type"]) for commit in dump.docs("orders", "streams").values())
    for source, follow_up in (("payment.refunded", "order.refund_noted"), ("stock.returned", "order.restock_noted")):
        published = {event.key for event in dump.of(source)}
        for id in sorted(published | {id for id, type in commits if type == follow_up}):
            if commits[id, follow_up] != (id in published):
                yield f"I7 order {id}: {source} published {int(id in published)} times, noted {commits[id, follow_up]}"


def _units(lines: list[Doc]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line["productId"]] += line["quantity"]
    return units
