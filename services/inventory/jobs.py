"""Background jobs: finish what a crash left, and release expired reservations."""

from chassis import clock
from chassis.events.set_aside import SetAside
from chassis.store import Doc
from services.inventory import application, domain, metrics, repository

ABANDONED_AFTER_S = 5.0
"""Age of a pending stage from which on its process is taken for dead."""
OVERDUE_AFTER_S = 5.0
"""Time past its expiry from which on a reservation should have been released."""

_returns = SetAside("return_cancelled_units")
_finishing = SetAside("finish_reservations")
_dropping = SetAside("drop_old_allocations")


def return_cancelled_units() -> None:
    """Make the units of canceled orders available again."""
    _returns.work_through(repository.reservations, {"returnPending": True}, _return_units)


def finish_reservations() -> None:
    """Apply the pending stages that a crash left, and release expired reservations."""
    abandoned = {"stagePending": True, "updatedAt": {"$lt": clock.timestamp_ago(ABANDONED_AFTER_S)}}
    _finishing.work_through(repository.reservations, abandoned, application.apply_pending_stages, sort="updatedAt")
    expired = {"status": "reserved", "expiresAt": {"$lt": clock.timestamp()}}
    _finishing.work_through(repository.reservations, expired, _release_expired, sort="expiresAt")


def drop_old_allocations() -> None:
    """Drop the allocations of finished orders, and make units available that a late stage took."""
    _dropping.work_through(repository.stock, {"allocationCount": {"$gt": 0}}, _drop_allocations)


def export_overdue() -> None:
    """Export the number of reservations that outlived their expiry."""
    before = clock.timestamp_ago(OVERDUE_AFTER_S)
    metrics.overdue.set(repository.reservations.count({"status": "reserved", "expiresAt": {"$lt": before}}))


def _return_units(reservation: Doc) -> None:
    application.undo(reservation)
    repository.reservations.update(reservation["_id"], {"$set": {"returnPending": False}})


def _release_expired(reservation: Doc) -> None:
    application.apply_pending_stages(repository.change_status(reservation, "releasing", expired=True))


def _drop_allocations(stock: Doc) -> None:
    before = clock.timestamp_ago(domain.ALLOCATIONS_KEPT_S)
    old = {order for order, allocation in stock["allocations"].items() if allocation["at"] < before}
    dropped = domain.drop_allocations(stock, {order for order in old if _is_finished(order)})
    if dropped:
        update, guard = dropped
        repository.stock.update(stock["_id"], update, when=guard)


def _is_finished(order: str) -> bool:
    reservation = repository.reservations.get(order)
    return reservation is None or not domain.is_live(reservation)
