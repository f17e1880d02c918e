"""Rate limits: so many requests of a caller in a window that begins with the first of them.

What is counted in this process costs nothing and is enough against a flood; where guessing pays, as at sign-in, the
count is kept in the store and shared by all replicas.
"""

import hmac
import re
import threading
from collections.abc import Callable
from functools import cache

from chassis import clock
from chassis.settings import RATE, settings
from chassis.store import Collection, Duplicate, Index
from chassis.web.auth import Caller
from chassis.web.problems import Problem

counters = Collection("limits", Index("until"))
"""{_id: "hash of limit and caller", count, until: "the end of the window"}"""

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_MANY = 10_000

Count = Callable[[str, int], tuple[int, float]]
"""(who, seconds of a window) -> (requests in the present window with this one, seconds until its end)"""


class Counts:
    """Windows of callers in memory, the oldest forgotten first where they are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, list[float]] = {}

    def __call__(self, who: str, seconds: int) -> tuple[int, float]:
        now = clock.monotonic()
        with self._lock:
            window = self._windows.get(who)
            if window is None or window[1] <= now:
                self._windows.pop(who, None)  # so that the order is that of the beginnings
                if len(self._windows) >= _MANY:
                    del self._windows[next(iter(self._windows))]
                window = self._windows[who] = [0, now + seconds]
            window[0] += 1
            return int(window[0]), window[1] - now


def shared(who: str, seconds: int) -> tuple[int, float]:
    """Count in the store, for all replicas. Raises StoreUnavailable."""
    secret = settings().platform_secret.get_secret_value().encode()
    id = hmac.new(secret, who.encode(), "sha256").hexdigest()  # it may hold an e-mail address
    while True:
        now = clock.timestamp()
        found = counters.update(id, {"$inc": {"count": 1}}, when={"until": {"$gt": now}})
        if found is None:
            anew = {"count": 1, "until": clock.timestamp_in(seconds)}
            found = counters.update(id, {"$set": anew}, when={"until": {"$lte": now}})
            if found is None:
                try:
                    found = {"_id": id, **anew}
                    counters.insert(found)
                except Duplicate:
                    continue
        return found["count"], -clock.seconds_since(found["until"])


def sweep_counters() -> None:
    """Drop the windows that are over."""
    while found := counters.find({"until": {"$lt": clock.timestamp()}}, sort="until"):
        for counter in found:
            counters.delete(counter["_id"], when={"until": counter["until"]})


_here = Counts()


class RateLimited(Problem):
    """A 429: more requests than a limit allows."""


def hit(name: str, rule: str, caller: str, count: Count = _here) -> dict[str, str]:
    """Count a request under a limit such as "100/15minutes"; the RateLimit headers. Raises RateLimited beyond it."""
    if settings().rate_limits == "off":
        return {}
    most, seconds = parse(rule)
    done, left = count(f"{name} {caller}", seconds)
    wait = max(1, round(left))
    headers = {
        "RateLimit": f'"{name}";r={max(0, most - done)};t={wait}',
        "RateLimit-Policy": f'"{name}";q={most};w={seconds}',
    }
    if done > most:
        headers["Retry-After"] = str(wait)
        raise RateLimited(429, f"More than {rule} of these requests; wait {wait} s.", headers=headers)
    return headers


def of_request(method: str, caller: Caller) -> dict[str, str]:
    """Count a request under the limit of its kind."""
    if method in ("GET", "HEAD"):
        return hit("read", settings().rate_read, caller.name)
    if caller.id:
        return hit("user", settings().rate_user, caller.id)
    return hit("anonymous", settings().rate_anonymous, caller.address)


@cache
def parse(rule: str) -> tuple[int, int]:
    """(requests, seconds) of a rule such as "5/minute"."""
    found = re.match(RATE, rule)
    assert found is not None, rule  # noqa: S101  the settings have checked it
    return int(found[1]), int(found[2] or 1) * _SECONDS[found[3]]
