"""Use cases of stock and reservations: the reservation is written first, then the stock of each product.

The status of a reservation says what the stock must become; `apply_pending_stages` makes it so and may be repeated.
"""

from chassis import clock
from chassis.audit import BATCH
from chassis.errors import DomainError, NotFound, TransientError
from chassis.store import LARGEST_PAGE, Doc, Duplicate
from services.inventory import domain, repository
from services.inventory.messages import (
    AdjustStock,
    ConfirmStock,
    Line,
    ListReservations,
    Release,
    RenewReservation,
    ReservationState,
    Reserve,
    StockConfirmed,
    StockProduct,
    StockReleased,
    StockReserved,
    StockReturned,
    GetReservations,
)
from services.inventory.settings import settings

_ADJUSTMENTS_KEPT_S = 24 * 3600.0


def get_reservations(command: GetReservations) -> GetReservations.Reply:
    found = repository.reservations.find({"_id": {"$in": command.order_ids}}, limit=BATCH)
    return GetReservations.Reply(items=[_state(doc) for doc in found])


_MAX_ATTEMPTS = 20


def list_reservations(command: ListReservations) -> ListReservations.Reply:
    page = repository.reservations.find(after=(command.after, command.after), limit=LARGEST_PAGE)
    return ListReservations.Reply(order_ids=[doc["_id"] for doc in page])


def stock_product(command: StockProduct) -> None:
    repository.open_stock(command.product_id, command.quantity, closed=False)


def _state(doc: Doc) -> ReservationState:
    return ReservationState(
        order_id=doc["_id"],
        status=doc["status"],
        lines=[Line.read(line) for line in doc["lines"]],
    )


def adjust_stock(command: AdjustStock) -> AdjustStock.Reply:
    """Raises DomainError `insufficient_stock`, NotFound."""
    for _ in range(_MAX_ATTEMPTS):
        doc = repository.stock.get(command.product_id)
        if doc is None or doc["closed"]:
            raise NotFound("product")
        for done in doc["adjustments"]:
            if done["dedupKey"] == command.dedup_key:
                return AdjustStock.Reply(available=done["available"], sequence=done["sequence"])
        available = doc["available"] + command.adjustment
        if available < 0:
            raise domain.why_not(doc, command.product_id, -command.adjustment)
        done = {"dedupKey": command.dedup_key, "at": clock.timestamp(), "available": available, "sequence": doc["seq"] + 1}
        change = domain.with_stock_changed({"$inc": {"available": command.adjustment, "received": command.adjustment}})
        old = [each for each in doc["adjustments"] if each["at"] > clock.timestamp_ago(_ADJUSTMENTS_KEPT_S)]
        change["$set"]["adjustments"] = [*old, done]
        if repository.stock.update(command.product_id, change, when={"seq": doc["seq"]}):
            return AdjustStock.Reply(available=available, sequence=done["sequence"])
    raise TransientError("the stock of this product changes too often")


def reserve(command: Reserve) -> None:
    """Raises DomainError: `insufficient_stock`, or `released` where it was undone before."""
    try:
        doc = repository.new_reservation(command.order_id, command.lines, "reserving")
        repository.reservations.insert(doc)
    except Duplicate:
        doc = repository.get_reservation(command.order_id)
    doc = apply_pending_stages(doc)
    if doc["status"] not in ("reserved", "confirmed"):
        raise _refusal(doc)


def renew(command: RenewReservation) -> None:
    repository.reservations.update(
        command.order_id,
        {"$set": {"expiresAt": clock.timestamp_in(settings().reservation)}},
        when={"status": "reserved"},
    )


def confirm(command: ConfirmStock) -> None:
    """Raises DomainError: `insufficient_stock`, or `released` where it was undone before."""
    doc = apply_pending_stages(repository.get_reservation(command.order_id))
    if doc["status"] == "reserved":
        doc = apply_pending_stages(repository.change_status(doc, "confirming"))
    if doc["status"] == "released" and doc["expired"]:
        doc = apply_pending_stages(repository.change_status(doc, "reserving", confirmNext=True))
    if doc["status"] != "confirmed":
        raise _refusal(doc)


def release(command: Release) -> None:
    """Whatever stands comes back; where nothing does, a tombstone refuses what comes late."""
    try:
        repository.reservations.insert(repository.new_reservation(command.order_id, [], "released"))
    except Duplicate:
        undo(repository.get_reservation(command.order_id))


def undo(doc: Doc) -> None:
    doc = apply_pending_stages(doc)
    for _ in range(_MAX_ATTEMPTS):
        if doc["status"] == "reserved":
            doc = apply_pending_stages(repository.change_status(doc, "releasing"))
        elif doc["status"] == "confirmed":
            doc = apply_pending_stages(repository.change_status(doc, "returning"))
        elif doc["expired"]:
            doc = repository.reservations.update(
                doc["_id"], {"$set": {"expired": False}}, when={"stageVersion": doc["stageVersion"]}
            ) or repository.get_reservation(doc["_id"])
        else:
            return
    raise TransientError("the reservation changes too often")


def apply_pending_stages(doc: Doc) -> Doc:
    """Make true of the stock what the reservation's status says, until it says nothing more is to be done."""
    while doc["stagePending"]:
        doc = _STAGES[doc["status"]](doc)
    return doc


def _apply_reserving(doc: Doc) -> Doc:
    for line in doc["lines"]:
        if not repository.apply_stage(doc, line, domain.hold):
            now = repository.stock.get(line["productId"])
            if now is None or now["allocations"].get(doc["_id"], {}).get("stageVersion", 0) < doc["stageVersion"]:
                why = domain.why_not(now, line["productId"], line["quantity"])
                return repository.change_status(
                    doc, "releasing", rejection={"detail": why.detail, **why.extra}, confirmNext=False
                )
    moved = repository.change_status(doc, "confirming" if doc["confirmNext"] else "reserved", StockReserved)
    if not moved["stagePending"] and moved["status"] != "reserved" and moved["stageVersion"] > doc["stageVersion"]:
        for line in doc["lines"]:
            repository.apply_stage(moved, line, domain.release)
    return moved


def _apply_releasing(doc: Doc) -> Doc:
    for line in doc["lines"]:
        repository.apply_stage(doc, line, domain.release)
    return (
        repository.change_status(doc, "refused")
        if doc["rejection"]
        else repository.change_status(doc, "released", StockReleased)
    )


def _apply_confirming(doc: Doc) -> Doc:
    for line in doc["lines"]:
        repository.apply_stage(doc, line, domain.sell)
    return repository.change_status(doc, "confirmed", StockConfirmed)


def _apply_returning(doc: Doc) -> Doc:
    for line in doc["lines"]:
        repository.apply_stage(doc, line, domain.return_sold)
    return repository.change_status(doc, "returned", StockReturned)


_STAGES = {
    "reserving": _apply_reserving,
    "releasing": _apply_releasing,
    "confirming": _apply_confirming,
    "returning": _apply_returning,
}


def _refusal(doc: Doc) -> DomainError:
    if doc["rejection"]:
        extra = {name: value for name, value in doc["rejection"].items() if name != "detail"}
        return DomainError("insufficient_stock", "Insufficient stock", doc["rejection"]["detail"], **extra)
    return DomainError("released", "Reservation released", "The units of this order were given back.")
