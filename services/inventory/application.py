"""Use cases of stock and reservations.

A reservation is written first, then the stock of each of its products. The status of the reservation says what the
stock must become; `apply_pending_stages` makes it so, and may be repeated after a crash.
"""

from collections.abc import Callable

from chassis import clock
from chassis.audit import BATCH
from chassis.errors import NotFound, TransientError
from chassis.store import MAX_PAGE_SIZE, Doc, Duplicate
from services.inventory import domain, history, repository
from services.inventory.messages import (
    AdjustStock,
    ConfirmStock,
    GetReservations,
    InsufficientStock,
    Line,
    ListReservations,
    ProductQuantity,
    Release,
    RenewReservation,
    ReservationReleased,
    ReservationState,
    Reserve,
    StockConfirmed,
    StockLevel,
    StockProduct,
    StockProducts,
    StockReleased,
    StockReserved,
    StockReturned,
)
from services.inventory.settings import settings

_MAX_ATTEMPTS = 20


def stock_product(command: StockProduct) -> None:
    """Open the stock of a product, unless it exists."""
    repository.open_stock(command.product_id, command.quantity, closed=False, by=command.by)


def stock_products(command: StockProducts) -> StockProducts.Reply:
    """Open the stocks of products that have none; with `replaces`, set the available units of the others.

    Each stock is a write of its own: a repeat after a crash completes the rest.
    """
    levels = [_stock_level(item, command) for item in command.items]
    return StockProducts.Reply(items=[level for level in levels if level])


def _stock_level(item: ProductQuantity, command: StockProducts) -> StockLevel | None:
    """Open or set one stock; return None if it is closed."""
    dedup_key = command.dedup_key if command.replaces else ""
    stock = repository.open_stock(item.product_id, item.quantity, closed=False, dedup_key=dedup_key, by=command.by)
    available, sequence = stock["available"], stock["seq"]
    if command.replaces:
        try:
            available, sequence = _change_available(
                item.product_id, lambda _: item.quantity, dedup_key, domain.Cause("set", command.by)
            )
        except NotFound:
            return None
    elif stock["closed"]:
        return None
    return StockLevel(product_id=item.product_id, available=available, sequence=sequence)


def adjust_stock(command: AdjustStock) -> AdjustStock.Reply:
    """Change the available units of a product, once for each `dedup_key`.

    Raises InsufficientStock, NotFound.
    """

    def adjusted(stock: Doc) -> int:
        available: int = stock["available"] + command.adjustment
        if available < 0:
            raise domain.insufficient_stock(stock, command.product_id, -command.adjustment)
        return available

    available, sequence = _change_available(
        command.product_id, adjusted, command.dedup_key, domain.Cause("adjusted", command.by, command.reason)
    )
    return AdjustStock.Reply(available=available, sequence=sequence)


def _change_available(
    product: str, change: Callable[[Doc], int], dedup_key: str, cause: domain.Cause
) -> tuple[int, int]:
    """Store the available units that `change(stock)` returns, once for each `dedup_key`; return (units, sequence).

    Raises NotFound, and what `change` raises.
    """
    for _ in range(_MAX_ATTEMPTS):
        stock = repository.stock.get(product)
        if stock is None or stock["closed"]:
            raise NotFound("product")
        for earlier in stock["adjustments"]:
            if earlier["dedupKey"] == dedup_key:
                return earlier["available"], earlier["sequence"]
        available, sequence = change(stock), stock["seq"] + 1
        received = available - stock["available"]
        update = domain.with_stock_changed({"$inc": {"available": received, "received": received}})
        kept = history.keep_recent(product, stock["adjustments"])
        update["$set"]["adjustments"] = [*kept, domain.adjustment(dedup_key, received, available, sequence, cause)]
        if repository.stock.update(product, update, when={"seq": stock["seq"]}):
            return available, sequence
    raise TransientError("the stock of this product changes too often")


def reserve(command: Reserve) -> Reserve.Reply:
    """Reserve all lines of an order, or none.

    Raises InsufficientStock, or ReservationReleased if the reservation was released before.
    """
    try:
        reservation = repository.new_reservation(command.order_id, command.lines, "reserving")
        repository.reservations.insert(reservation)
    except Duplicate:
        reservation = repository.get_reservation(command.order_id)
    reservation = apply_pending_stages(reservation)
    if reservation["status"] not in ("reserved", "confirmed"):
        raise _rejection(reservation)
    return Reserve.Reply(renew_after_ms=_renew_after_ms())


def renew(command: RenewReservation) -> RenewReservation.Reply:
    """Restart the time that a reservation has before it expires."""
    repository.reservations.update(
        command.order_id,
        {"$set": {"expiresAt": clock.timestamp_in(settings().reservation)}},
        when={"status": "reserved"},
    )
    return RenewReservation.Reply(renew_after_ms=_renew_after_ms())


def confirm(command: ConfirmStock) -> None:
    """Sell the reserved units; an expired reservation reserves them again first.

    Raises InsufficientStock, or ReservationReleased if the reservation was released before.
    """
    reservation = apply_pending_stages(repository.get_reservation(command.order_id))
    if reservation["status"] == "reserved":
        reservation = apply_pending_stages(repository.change_status(reservation, "confirming"))
    if reservation["status"] == "released" and reservation["expired"]:
        reservation = apply_pending_stages(repository.change_status(reservation, "reserving", confirmNext=True))
    if reservation["status"] != "confirmed":
        raise _rejection(reservation)


def release(command: Release) -> None:
    """Undo a reservation; without one, insert a tombstone that rejects a late `Reserve`."""
    try:
        repository.reservations.insert(repository.new_reservation(command.order_id, [], "released"))
    except Duplicate:
        undo(repository.get_reservation(command.order_id))


def undo(reservation: Doc) -> None:
    """Release the reserved units, or return the sold ones. Raises TransientError if others keep changing them."""
    reservation = apply_pending_stages(reservation)
    for _ in range(_MAX_ATTEMPTS):
        if reservation["status"] == "reserved":
            reservation = apply_pending_stages(repository.change_status(reservation, "releasing"))
        elif reservation["status"] == "confirmed":
            reservation = apply_pending_stages(repository.change_status(reservation, "returning"))
        elif reservation["expired"]:
            # `confirm` reserves expired units again; from now on it is rejected
            reservation = repository.reservations.update(
                reservation["_id"], {"$set": {"expired": False}}, when={"stageVersion": reservation["stageVersion"]}
            ) or repository.get_reservation(reservation["_id"])
        else:
            return
    raise TransientError("the reservation changes too often")


def get_reservations(command: GetReservations) -> GetReservations.Reply:
    """Return the state of the reservations of some orders."""
    found = repository.reservations.find({"_id": {"$in": command.order_ids}}, limit=BATCH)
    return GetReservations.Reply(items=[_state(reservation) for reservation in found])


def list_reservations(command: ListReservations) -> ListReservations.Reply:
    """Return the next page of the orders that have a reservation."""
    page = repository.reservations.find(after=(command.after, command.after), limit=MAX_PAGE_SIZE)
    return ListReservations.Reply(order_ids=[reservation["_id"] for reservation in page])


def apply_pending_stages(reservation: Doc) -> Doc:
    """Apply the stages of a reservation to the stock until none is pending; return the reservation as it is then."""
    while reservation["stagePending"]:
        reservation = _STAGES[reservation["status"]](reservation)
    return reservation


def _renew_after_ms() -> int:
    """Return the milliseconds after which a third of a reservation's time is left."""
    return round(settings().reservation * 1000 * 2 / 3)


def _apply_reserving(reservation: Doc) -> Doc:
    order, version = reservation["_id"], reservation["stageVersion"]
    for line in reservation["lines"]:
        if not repository.apply_stage(reservation, line, domain.hold):
            stock = repository.stock.get(line["productId"])
            if stock is None or stock["allocations"].get(order, {}).get("stageVersion", 0) < version:
                why = domain.insufficient_stock(stock, line["productId"], line["quantity"])
                return repository.change_status(
                    reservation, "releasing", rejection={"detail": why.detail, **why.extra}, confirmNext=False
                )
    moved = repository.change_status(
        reservation, "confirming" if reservation["confirmNext"] else "reserved", StockReserved
    )
    if not moved["stagePending"] and moved["status"] != "reserved" and moved["stageVersion"] > version:
        # another process finished the reservation meanwhile: this one may have taken units again after that
        for line in reservation["lines"]:
            repository.apply_stage(moved, line, domain.release)
    return moved


def _apply_releasing(reservation: Doc) -> Doc:
    for line in reservation["lines"]:
        repository.apply_stage(reservation, line, domain.release)
    if reservation["rejection"]:
        return repository.change_status(reservation, "refused")
    return repository.change_status(reservation, "released", StockReleased)


def _apply_confirming(reservation: Doc) -> Doc:
    for line in reservation["lines"]:
        repository.apply_stage(reservation, line, domain.sell)
    return repository.change_status(reservation, "confirmed", StockConfirmed)


def _apply_returning(reservation: Doc) -> Doc:
    for line in reservation["lines"]:
        repository.apply_stage(reservation, line, domain.return_sold)
    return repository.change_status(reservation, "returned", StockReturned)


_STAGES = {
    "reserving": _apply_reserving,
    "releasing": _apply_releasing,
    "confirming": _apply_confirming,
    "returning": _apply_returning,
}


def _rejection(reservation: Doc) -> InsufficientStock | ReservationReleased:
    if reservation["rejection"]:
        extra = {name: value for name, value in reservation["rejection"].items() if name != "detail"}
        return InsufficientStock.rebuild(reservation["rejection"]["detail"], extra)
    return ReservationReleased()


def _state(reservation: Doc) -> ReservationState:
    return ReservationState(
        order_id=reservation["_id"],
        status=reservation["status"],
        lines=[Line.read(line) for line in reservation["lines"]],
    )
