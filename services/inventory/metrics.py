"""Metrics of reservations.

The process whose write moves a reservation to its outcome counts it: never twice, and not at all if the process crashes
right after the write.
"""

from prometheus_client import Gauge

from chassis.observe.metrics import counter, platform_name
from chassis.store import Doc

reservations = counter("reservations_total", "Reservations by outcome", "outcome")
overdue = Gauge(platform_name("reservations_overdue"), "Reservations that hold stock after they expired")

_OUTCOMES = ("reserved", "refused", "confirmed", "released", "returned")


for _outcome in (*_OUTCOMES, "expired"):
    reservations[_outcome].inc(0)  # so that `rate` sees the first of each outcome


def count(reservation: Doc) -> None:
    """Count a reservation that has just got its status, unless the status is a pending stage."""
    status = reservation["status"]
    if status in _OUTCOMES:
        reservations["expired" if status == "released" and reservation["expired"] else status].inc()
