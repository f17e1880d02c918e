"""Stock and reservations: the reservation is written first, then the stock of each product, and a sweep finishes both.

A reservation's status says what must become true of the stock; `settle` makes it true, as often as it is called.
"""

from typing import Any

from chassis import clock
from chassis.errors import DomainError, NotFound, TransientError
from chassis.events import inbox, outbox
from chassis.events.envelope import Meta
from chassis.messages import Event
from chassis.settings import settings
from chassis.store import Collection, Doc, Duplicate, Index, merge_updates
from services.inventory import domain, metrics
from services.inventory.messages import (
    AdjustStock,
    ConfirmStock,
    Line,
    Release,
    RenewReservation,
    Reserve,
    StockChanged,
    StockConfirmed,
    StockProduct,
    StockReleased,
    StockReserved,
    StockReturned,
)
from services.orders.messages import OrderCancelled
from services.products.messages import ProductCreated, ProductDeleted

stock = Collection("stock", Index("held", partial={"held": {"$gt": 0}}), outbox.PENDING)
reservations = Collection(
    "reservations",
    Index("products", multikey=True),
    Index("working", "updatedAt", partial={"working": True}),
    Index("status", "expiresAt", partial={"status": "reserved"}),
    Index("cancelled", partial={"cancelled": True}),
    outbox.PENDING,
)
_ADJUSTMENTS_KEPT = 24 * 3600.0
_ABANDONED = 5.0
"""Seconds after which a sweep finishes what a handler began."""
_OVERDUE = 5.0
"""Seconds past its time from which on a reservation should have been let go."""
_TRIES = 20


def changed(doc: Doc) -> StockChanged:
    """The event that tells the present state of a stock."""
    return StockChanged(product_id=doc["_id"], available=0 if doc["closed"] else doc["available"])


def stock_product(command: StockProduct) -> None:
    _open_stock(command.product_id, command.quantity, closed=False)


def note_product(event: ProductCreated, meta: Meta) -> None:
    """Make the stock if the product's own service could not ask for it."""
    _open_stock(event.product_id, event.initial_stock, closed=False)


def close_product(event: ProductDeleted, meta: Meta) -> None:
    """No new reservation from now on; those that are open run out."""
    _open_stock(event.product_id, 0, closed=True)
    stock.update(event.product_id, domain.told({"$set": {"closed": True}}), when={"closed": False})


def adjust(command: AdjustStock) -> AdjustStock.Reply:
    """Raises DomainError `insufficient_stock`, NotFound."""
    for _ in range(_TRIES):
        doc = stock.get(command.product_id)
        if doc is None or doc["closed"]:
            raise NotFound("product")
        for done in doc["adjusted"]:
            if done["mark"] == command.mark:
                return AdjustStock.Reply(available=done["available"], sequence=done["sequence"])
        available = doc["available"] + command.adjustment
        if available < 0:
            raise domain.why_not(doc, command.product_id, -command.adjustment)
        done = {"mark": command.mark, "at": clock.timestamp(), "available": available, "sequence": doc["seq"] + 1}
        change = domain.told({"$inc": {"available": command.adjustment, "received": command.adjustment}})
        old = [each for each in doc["adjusted"] if each["at"] > clock.timestamp_ago(_ADJUSTMENTS_KEPT)]
        change["$set"]["adjusted"] = [*old, done]
        if stock.update(command.product_id, change, when={"seq": doc["seq"]}):
            return AdjustStock.Reply(available=available, sequence=done["sequence"])
    raise TransientError("the stock of this product changes too often")


def get_stock(product: str) -> Doc:
    doc = stock.get(product)
    if doc is None:
        raise NotFound("product")
    return doc


def reserve(command: Reserve) -> None:
    """Raises DomainError: `insufficient_stock`, or `released` where it was undone before."""
    try:
        doc = _new(command.order_id, command.lines, "reserving")
        reservations.insert(doc)
    except Duplicate:
        doc = _get(command.order_id)
    doc = settle(doc)
    if doc["status"] not in ("reserved", "confirmed"):
        raise _refusal(doc)


def renew(command: RenewReservation) -> None:
    reservations.update(
        command.order_id, {"$set": {"expiresAt": clock.timestamp_in(settings().reservation)}}, when={"status": "reserved"}
    )


def confirm(command: ConfirmStock) -> None:
    """Raises DomainError: `insufficient_stock`, or `released` where it was undone before."""
    doc = settle(_get(command.order_id))
    if doc["status"] == "reserved":
        doc = settle(_move(doc, "confirming"))
    if doc["status"] == "released" and doc["expired"]:
        doc = settle(_move(doc, "reserving", confirm=True))
    if doc["status"] != "confirmed":
        raise _refusal(doc)


def release(command: Release) -> None:
    """Whatever stands comes back; where nothing does, a tombstone refuses what comes late."""
    try:
        reservations.insert(_new(command.order_id, [], "released"))
    except Duplicate:
        _give_back(_get(command.order_id))


def note_cancelled(event: OrderCancelled, meta: Meta) -> None:
    """Note that the units of a cancelled order must come back; the sweep brings them."""
    change = merge_updates({"$set": {"cancelled": True}}, inbox.seen(meta))
    reservations.update(event.order_id, change, when=inbox.unseen(meta))


def sweep_cancelled() -> None:
    """Bring the units of cancelled orders back."""
    for doc in reservations.find({"cancelled": True}):
        _give_back(doc)
        reservations.update(doc["_id"], {"$set": {"cancelled": False}})


def sweep_reservations() -> None:
    """Finish what was begun and left, and let go what has expired."""
    for doc in reservations.find({"working": True, "updatedAt": {"$lt": clock.timestamp_ago(_ABANDONED)}}, sort="updatedAt"):
        settle(doc)
    for doc in reservations.find({"status": "reserved", "expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt"):
        settle(_move(doc, "releasing", expired=True))


def tell_overdue() -> None:
    """How many reservations the sweep has not let go, for operators."""
    late = clock.timestamp_ago(_OVERDUE)
    metrics.overdue.set(reservations.count({"status": "reserved", "expiresAt": {"$lt": late}}))


def sweep_marks() -> None:
    """Drop the marks of orders that are over, and return what a late hold took."""
    for doc in stock.find({"held": {"$gt": 0}}):
        old = {order for order, mark in doc["holds"].items() if mark["at"] < clock.timestamp_ago(domain.MARK_KEPT)}
        tidied = domain.tidied(doc, {order for order in old if _is_over(order)})
        if tidied:
            stock.update(doc["_id"], tidied[0], when=tidied[1])


def settle(doc: Doc) -> Doc:
    """Make true of the stock what the reservation's status says, until it says nothing more is to be done."""
    while doc["working"]:
        doc = _STAGES[doc["status"]](doc)
    return doc


def _reserving(doc: Doc) -> Doc:
    for line in doc["lines"]:
        if not _apply(doc, line, domain.hold):
            now = stock.get(line["productId"])
            if now is None or now["holds"].get(doc["_id"], {}).get("turn", 0) < doc["turn"]:
                why = domain.why_not(now, line["productId"], line["quantity"])
                return _move(doc, "releasing", refused={"detail": why.detail, **why.extra}, confirm=False)
    moved = _move(doc, "confirming" if doc["confirm"] else "reserved", StockReserved)
    if not moved["working"] and moved["status"] != "reserved" and moved["turn"] > doc["turn"]:
        for line in doc["lines"]:
            _apply(moved, line, domain.unhold)
    return moved


def _releasing(doc: Doc) -> Doc:
    for line in doc["lines"]:
        _apply(doc, line, domain.unhold)
    return _move(doc, "refused") if doc["refused"] else _move(doc, "released", StockReleased)


def _confirming(doc: Doc) -> Doc:
    for line in doc["lines"]:
        _apply(doc, line, domain.sell)
    return _move(doc, "confirmed", StockConfirmed)


def _returning(doc: Doc) -> Doc:
    for line in doc["lines"]:
        _apply(doc, line, domain.give_back)
    return _move(doc, "returned", StockReturned)


_STAGES = {"reserving": _reserving, "releasing": _releasing, "confirming": _confirming, "returning": _returning}


def _apply(doc: Doc, line: dict[str, Any], stage: Any) -> bool:
    for change, when in stage(doc["_id"], doc["turn"], line["quantity"]):
        if stock.update(line["productId"], change, when=when):
            return True
    return False


def _give_back(doc: Doc) -> None:
    doc = settle(doc)
    for _ in range(_TRIES):
        if doc["status"] == "reserved":
            doc = settle(_move(doc, "releasing"))
        elif doc["status"] == "confirmed":
            doc = settle(_move(doc, "returning"))
        elif doc["expired"]:
            doc = reservations.update(doc["_id"], {"$set": {"expired": False}}, when={"turn": doc["turn"]}) or _get(
                doc["_id"]
            )
        else:
            return
    raise TransientError("the reservation changes too often")


def _move(doc: Doc, status: str, event: type[Event] | None = None, **fields: Any) -> Doc:
    """The reservation in its next stage, or as another moved it meanwhile."""
    change: Any = {
        "$set": {"status": status, "working": status in domain.WORKING, "updatedAt": clock.timestamp(), **fields},
        "$inc": {"turn": 1},
    }
    when: Any = {"turn": doc["turn"]}
    if event:
        lines = [Line.read(line) for line in doc["lines"]]
        says, guard = outbox.append_event(doc, event(order_id=doc["_id"], lines=lines))
        change, when = merge_updates(change, says), {**when, **guard}
    moved = reservations.update(doc["_id"], change, when=when)
    if moved is None:
        return _get(doc["_id"])
    metrics.count(moved)
    return moved


def _new(order: str, lines: list[Line], status: str) -> Doc:
    now = clock.timestamp()
    return {
        "_id": order,
        "lines": [line.data() for line in lines],
        "products": [line.product_id for line in lines],
        "status": status,
        "working": status in domain.WORKING,
        "turn": 1,
        "confirm": False,
        "expired": False,
        "cancelled": False,
        "refused": None,
        "expiresAt": clock.timestamp_in(settings().reservation),
        "createdAt": now,
        "updatedAt": now,
        **inbox.empty("orders"),
        **outbox.new_outbox(order),
    }


def _get(order: str) -> Doc:
    doc = reservations.get(order)
    if doc is None:
        raise DomainError("not_reserved", "Not reserved", "This order has no reservation.")
    return doc


def _refusal(doc: Doc) -> DomainError:
    if doc["refused"]:
        extra = {name: value for name, value in doc["refused"].items() if name != "detail"}
        return DomainError("insufficient_stock", "Insufficient stock", doc["refused"]["detail"], **extra)
    return DomainError("released", "Reservation released", "The units of this order were given back.")


def _is_over(order: str) -> bool:
    doc = reservations.get(order)
    return doc is None or not domain.is_live(doc)


def _open_stock(product: str, quantity: int, closed: bool) -> None:
    fields = {**outbox.new_outbox(product), "seq": 1, "pending": 1}
    del fields["outbox"]
    try:
        stock.insert({**domain.new_stock(product, quantity, closed), **fields})
    except Duplicate:
        pass  # it is there, and keeps its own number
