"""How long a dependency has been unavailable: a gauge that alerts compare with a time, whatever the rate of calls.

failed ──► failed ──► failed ──► succeeded
└────── the gauge grows ───────┘ 0
"""

from prometheus_client import Gauge

from chassis import clock

FORGET_S = 60.0
"""Without an attempt for this long nobody knows: the gauge is 0 again, so that an idle process raises no alert."""


class Outage:
    """The time since the first of the failures after the last success. Safe to share between threads."""

    def __init__(self, gauge: Gauge) -> None:
        self._since: float | None = None  # on the monotonic clock; None while it is available
        self._latest = 0.0
        gauge.set_function(self.seconds)

    def failed(self, started_at: float) -> None:
        """Note an attempt that began at `started_at`, on the monotonic clock, and failed just now."""
        now = clock.monotonic()
        if self._since is None or now - self._latest > FORGET_S:
            self._since = started_at
        self._latest = now

    def succeeded(self) -> None:
        """Note an attempt that succeeded just now."""
        if self._since is not None:
            self._since = None

    def seconds(self) -> float:
        """Return for how many seconds every attempt has failed, 0 if the latest succeeded or is long past."""
        since, now = self._since, clock.monotonic()
        return now - since if since is not None and now - self._latest <= FORGET_S else 0.0
