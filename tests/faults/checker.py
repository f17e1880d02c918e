"""The checker: what must hold of a platform's data once it is quiet, read from its engines and from nothing else.

    violations = check(dump.read(data_dir))        [] or lines such as "I2 order o1: captured 2000 of 1000"

The numbers are those of the design's table of invariants; each function here is a few of them. `unfinished_work` says what is
still under way: until it is empty the invariants need not hold.
"""

from collections import Counter, defaultdict
from collections.abc import Collection as Some
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from chassis.money import Money
from tests.dump import Doc, Docs, Dump
from tests.faults.event_checks import events, parked

PAID = ("confirmed", "shipped", "delivered")
FINAL = (*PAID, "rejected", "cancelled")
FOLLOWS = {
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
"""Type of an order's event -> the statuses in which it may come."""
STATUS = {"order.placed": "pending"} | {f"order.{status}": status for status in FINAL}
LATE = timedelta(seconds=60)
"""How long after its expiry a reservation may stand."""


def check(dump: Dump, accepted: Iterable[str] = (), poison: Some[str] = ()) -> list[str]:
    """Every violation that the data show.

    `accepted` are the orders that clients were told of by 201 or 202, `poison` the keys under which a test has put
    records on the log that nobody can read.
    """
    orders = {id: fold(commits) for id, commits in event_streams(dump).items()}
    parts = (
        finality(dump, orders, accepted),
        money(dump, orders),
        check_stock(dump),
        sold(dump),
        reservations(dump, orders),
        histories(dump),
        read_models(dump, orders),
        noted(dump),
        events(dump),
        parked(dump, poison),
    )
    return [violation for part in parts for violation in part]


def unfinished_work(dump: Dump) -> list[str]:
    """What is still under way."""
    found = [f"saga {id} is open" for id, saga in dump.docs("orders", "sagas").items() if saga["open"]]
    for service, collections in dump.stores.items():
        for name, docs in collections.items():
            if waiting := sum(doc["pending"] for doc in docs.values() if isinstance(doc.get("pending"), int)):
                found.append(f"{waiting} events wait in {service}.{name}")
    found += lagging_groups(dump.lag)
    for id, payment in dump.docs("payments", "payments").items():
        if payment["refundPending"]:
            found.append(f"the refund of {id} waits")
    for id, reservation in dump.docs("inventory", "reservations").items():
        if reservation["stagePending"] or reservation["returnPending"]:
            found.append(f"the reservation of {id} is being worked on")
    return found


def lagging_groups(lag: dict[tuple[str, str], int]) -> list[str]:
    """Which groups have records to take in."""
    return [f"{group} is {records} behind on {topic}" for (group, topic), records in lag.items() if records]


def event_streams(dump: Dump) -> dict[str, list[Doc]]:
    """Order -> its commits, by version."""
    found: dict[str, list[Doc]] = defaultdict(list)
    for commit in dump.docs("orders", "streams").values():
        found[commit["stream"]].append(commit)
    return {id: sorted(commits, key=lambda commit: commit["version"]) for id, commits in found.items()}


def fold(commits: list[Doc]) -> Doc:
    """What an order's commits come to, written again here so that it is no copy of the code it checks."""
    order: Doc = {"status": "", "reason": "", "paymentId": "", "refunded": False, "restocked": False}
    for commit in commits:
        data = commit["data"]
        order["status"] = STATUS.get(commit["type"], order["status"])
        if commit["type"] == "order.placed":
            order |= {name: data[name] for name in ("userId", "items", "totalAmount", "currency")}
        order["reason"] = data.get("reason", order["reason"])
        order["paymentId"] = data.get("paymentId", order["paymentId"])
        order["refunded"] |= commit["type"] == "order.refund_noted"
        order["restocked"] |= commit["type"] == "order.restock_noted"
        order["version"] = commit["version"]
    return order


def finality(dump: Dump, orders: Docs, accepted: Iterable[str]) -> Iterator[str]:
    sagas = dump.docs("orders", "sagas")
    for id in accepted:
        if id not in orders:
            yield f"I5 order {id}: accepted, and not there"
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


def money(dump: Dump, orders: Docs) -> Iterator[str]:
    ledger, payments = dump.docs("payments", "test_provider_ledger"), dump.docs("payments", "payments")
    owed = kept = net = 0
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
        ours = 0
        if payment:
            ours = payment["amount"] if payment["status"] in ("completed", "refunded") else 0
            ours -= payment["refundedAmount"]
            if payment["status"] not in ("completed", "failed", "refunded"):
                yield f"I1 order {id}: its payment is {payment['status']}"
        if ours != held:
            yield f"I1 order {id}: payments says {ours}, the provider holds {held}"
        owed, kept, net = owed + due, kept + ours, net + held
    if not owed == kept == net:
        yield f"I1 paid orders come to {owed}, payments to {kept}, the provider's ledger to {net}"


def check_stock(dump: Dump) -> Iterator[str]:
    """Also true while the platform runs, on every single read."""
    for product, doc in dump.docs("inventory", "stock").items():
        counts = {name: doc[name] for name in ("available", "reserved", "sold")}
        if min(counts.values()) < 0:
            yield f"I3 product {product}: {counts}"
        if sum(counts.values()) != doc["received"]:
            yield f"I3 product {product}: {counts} of {doc['received']} received"
        if doc["reserved"] != sum(mark["quantity"] for mark in doc["allocations"].values()):
            yield f"I4 product {product}: reserved {doc['reserved']}, but its holds are another number"


def sold(dump: Dump) -> Iterator[str]:
    """What is reserved and sold of each product is what the reservations say."""
    units: dict[str, Counter[str]] = {"reserved": Counter(), "confirmed": Counter()}
    for doc in dump.docs("inventory", "reservations").values():
        units.get(doc["status"], Counter()).update(_units(doc["lines"]))
    for product, doc in dump.docs("inventory", "stock").items():
        if doc["reserved"] != units["reserved"][product]:
            yield f"I4 product {product}: reserved {doc['reserved']}, by reservations {units['reserved'][product]}"
        if doc["sold"] != units["confirmed"][product]:
            yield f"I6 product {product}: sold {doc['sold']}, by reservations {units['confirmed'][product]}"


def reservations(dump: Dump, orders: Docs) -> Iterator[str]:
    found = dump.docs("inventory", "reservations")
    for id, doc in found.items():
        if doc["stagePending"]:
            yield f"I4 reservation {id}: left {doc['status']}"
        if doc["status"] == "reserved" and datetime.fromisoformat(doc["expiresAt"]) + LATE < datetime.now(UTC):
            yield f"I4 reservation {id}: expired at {doc['expiresAt']}, and still held"
        if id not in orders:
            yield f"I6 reservation {id}: there is no such order"
    for id, order in orders.items():
        status = found[id]["status"] if id in found else "absent"
        if order["status"] in PAID:
            if status != "confirmed" or _units(found[id]["lines"]) != _units(order["items"]):
                yield f"I6 order {id}: {order['status']}, its reservation is {status}"
        elif status not in ("absent", "released", "refused", "returned"):
            yield f"I6 order {id}: {order['status']}, its reservation is {status}"


def histories(dump: Dump) -> Iterator[str]:
    for id, commits in event_streams(dump).items():
        versions = [commit["version"] for commit in commits]
        if versions != list(range(1, len(commits) + 1)):
            yield f"I10 order {id}: versions {versions}"
        public = [commit["sequence"] for commit in commits if commit["sequence"]]
        if public != list(range(1, len(public) + 1)):
            yield f"I8 order {id}: public events numbered {public}"
        status = ""
        for commit in commits:
            if status not in FOLLOWS[commit["type"]]:
                yield f"I10 order {id}: {commit['type']} while {status or 'absent'}"
            status = STATUS.get(commit["type"], status)
        for type, times in Counter(commit["type"] for commit in commits).items():
            if times > 1:
                yield f"I7 order {id}: {type} {times} times"


def read_models(dump: Dump, orders: Docs) -> Iterator[str]:
    summaries = dump.docs("orders", "summaries")
    for id in sorted({*summaries, *orders}):
        kept, right = summaries.get(id, {}), orders.get(id, {})
        if wrong := [name for name in right if kept.get(name) != right[name]] or (not right and ["everything"]):
            yield f"I16 summary {id}: {', '.join(wrong)} not as the events say"
    stocks = dump.docs("inventory", "stock")
    for id, product in dump.docs("products", "products").items():
        if id not in stocks:
            yield f"I16 product {id}: no stock"
            continue
        shown, there = product["stock"], 0 if stocks[id]["closed"] else stocks[id]["available"]
        if shown != there or product["last_seq"]["inventory"] != stocks[id]["seq"]:
            yield f"I16 product {id}: shows {shown} in stock, inventory has {there}"
    recipients = dump.docs("notifications", "recipients")
    for id, account in dump.docs("users", "accounts").items():
        if recipients.get(id, {}).get("email") != account.get("email"):
            yield f"I16 recipient {id}: another address than the account's"


def noted(dump: Dump) -> Iterator[str]:
    """What other services did is in the order's stream exactly once."""
    commits = Counter((commit["stream"], commit["type"]) for commit in dump.docs("orders", "streams").values())
    for told, note in (("payment.refunded", "order.refund_noted"), ("stock.returned", "order.restock_noted")):
        published = {event.key for event in dump.of(told)}
        for id in sorted(published | {id for id, type in commits if type == note}):
            if commits[id, note] != (id in published):
                yield f"I7 order {id}: {told} {int(id in published)} times published, {commits[id, note]} times noted"


def _units(lines: list[Doc]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line["productId"]] += line["quantity"]
    return units
