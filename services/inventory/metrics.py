"""What becomes of reservations: counted by the process whose write moved one there, so never twice.

A process that dies right after its write has not counted it.
"""

from prometheus_client import Gauge

from chassis.observe.metrics import counter, platform_name
from chassis.store import Doc

reservations = counter("reservations_total", "Reservations by outcome", "outcome")
overdue = Gauge(platform_name("reservations_overdue"), "Reservations that hold stock after they expired")

_OUTCOMES = ("reserved", "refused", "confirmed", "released", "returned")


for _outcome in (*_OUTCOMES, "expired"):
    reservations[_outcome].inc(0)  # so that the first of a kind shows as a step up


def count(reservation: Doc) -> None:
    """Count a reservation that has just come to this status; those it only passes through are none."""
    status = reservation["status"]
    if status in _OUTCOMES:
        reservations["expired" if status == "released" and reservation["expired"] else status].inc()
