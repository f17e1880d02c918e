"""Failing upstreams: how late calls return, and how soon the circuit breaker opens and closes."""

from typing import Any

from tests.faults import upstreams

BARS = {"late_p95_s": 0.05, "late_max_s": 0.25, "opened_s": 3.0, "closed_s": 15.0}
"""Seconds past the deadline; seconds until the circuit breaker opens, and closes after the recovery."""
_NAMES = {
    "late_p95_s": "past the deadline, p95",
    "late_max_s": "past the deadline, longest",
    "opened_s": "breaker opens after",
    "closed_s": "breaker closes after",
}


def run(short: bool) -> list[dict[str, Any]]:
    """Measure each fault; see `tests.faults.upstreams`."""
    return [
        {
            "name": f"{each.fault}: {_NAMES[field]}",
            "value": getattr(each, field) * 1000,
            "unit": "ms",
            "bar": f"<= {bar * 1000:g}",
            "goal": True,
            "ok": getattr(each, field) <= bar,
        }
        for each in upstreams.run(6.0 if short else 30.0)
        for field, bar in BARS.items()
    ]
