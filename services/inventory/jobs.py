"""Background jobs: finish what a crash left, and let reservations expire."""

from chassis import clock
from services.inventory import application, domain, metrics, repository

ABANDONED_AFTER_S = 5.0
"""Seconds after which a sweep finishes what a handler began."""
OVERDUE_AFTER_S = 5.0
"""Seconds past its time from which on a reservation should have been let go."""


def return_cancelled_units() -> None:
    """Bring the units of cancelled orders back."""
    for doc in repository.reservations.find({"returnPending": True}):
        application.undo(doc)
        repository.reservations.update(doc["_id"], {"$set": {"returnPending": False}})


def finish_reservations() -> None:
    """Finish what was begun and left, and let go what has expired."""
    for doc in repository.reservations.find(
        {"stagePending": True, "updatedAt": {"$lt": clock.timestamp_ago(ABANDONED_AFTER_S)}}, sort="updatedAt"
    ):
        application.apply_pending_stages(doc)
    for doc in repository.reservations.find(
        {"status": "reserved", "expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt"
    ):
        application.apply_pending_stages(repository.change_status(doc, "releasing", expired=True))


def drop_old_allocations() -> None:
    """Drop the marks of orders that are over, and return what a late hold took."""
    for doc in repository.stock.find({"allocationCount": {"$gt": 0}}):
        old = {order for order, mark in doc["allocations"].items() if mark["at"] < clock.timestamp_ago(domain.ALLOCATIONS_KEPT_S)}
        tidied = domain.drop_allocations(doc, {order for order in old if _is_over(order)})
        if tidied:
            repository.stock.update(doc["_id"], tidied[0], when=tidied[1])


def export_overdue() -> None:
    """How many reservations the sweep has not let go, for operators."""
    late = clock.timestamp_ago(OVERDUE_AFTER_S)
    metrics.overdue.set(repository.reservations.count({"status": "reserved", "expiresAt": {"$lt": late}}))


def _is_over(order: str) -> bool:
    doc = repository.reservations.get(order)
    return doc is None or not domain.is_live(doc)
