"""Rate limits: requests per caller in a window that starts with the first of them.

Most limits count in the memory of one process, which costs little and stops a flood. Where guessing pays, as at
sign-in, the count is in the store and holds for all replicas.
"""

import re
import threading
from collections.abc import Callable
from functools import cache

from chassis import clock
from chassis.keyed_hash import keyed_hashes
from chassis.settings import RATE, settings
from chassis.store import Collection, Duplicate, Index, Store
from chassis.web.auth import Caller
from chassis.web.problems import Problem
from chassis.web.request_buffer import is_above_limit

counters = Collection("limits", Index("until"))
"""{_id: "hash of limit and caller", count, until: "end of the window"}"""

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_MAX_WINDOWS = 10_000
_OF_CALLER = {"read", "user", "anonymous", "unauthenticated", "unauthenticated-read"}
"""Limits of all requests of a caller; all others count a single route."""

Count = Callable[[str, int], tuple[int, float]]
"""(key, seconds of a window) -> (requests in the current window, this one included; seconds until its end)"""


class LocalCounter:
    """Windows in the memory of this process; of too many, it forgets the oldest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, list[float]] = {}

    def __call__(self, key: str, seconds: int) -> tuple[int, float]:
        now = clock.monotonic()
        with self._lock:
            window = self._windows.get(key)
            if window is None or window[1] <= now:
                self._windows.pop(key, None)  # keeps the windows in the order of their start
                if len(self._windows) >= _MAX_WINDOWS:
                    del self._windows[next(iter(self._windows))]
                window = self._windows[key] = [0, now + seconds]
            window[0] += 1
            return int(window[0]), window[1] - now

    def exceeded_for_s(self, key: str, limit: int) -> float:
        """Return the seconds until the end of the window in which a key is above this limit, 0 if it is not."""
        count, ends_at = self._windows.get(key, (0, 0.0))
        return max(0.0, ends_at - clock.monotonic()) if count > limit else 0.0


def count_in_store(key: str, seconds: int) -> tuple[int, float]:
    """Count a request in the store, for all replicas. Raises StoreUnavailable."""
    ids = [digest.hex() for digest in keyed_hashes(key.encode())]  # the key may hold an e-mail address
    while True:
        now = clock.timestamp()
        for id in ids:  # a process with another signing secret may have started the window
            found = counters.update(id, {"$inc": {"count": 1}}, when={"until": {"$gt": now}})
            if found is not None:
                return found["count"], -clock.seconds_since(found["until"])
        fresh = {"count": 1, "until": clock.timestamp_in(seconds)}
        found = counters.update(ids[0], {"$set": fresh}, when={"until": {"$lte": now}})
        if found is None:
            try:
                found = {"_id": ids[0], **fresh}
                counters.insert(found)
            except Duplicate:
                continue
        return found["count"], -clock.seconds_since(found["until"])


def delete_ended_windows() -> None:
    """Delete the windows that have ended."""
    counters.delete_all({"until": {"$lt": clock.timestamp()}}, sort="until")


class Refusals:
    """The keys that exceed their limit in the store, until their windows end: they need not be counted there."""

    def __init__(self) -> None:
        self._store: Store | None = None
        self._until: dict[str, str] = {}

    def left_s(self, key: str) -> float:
        """Return the seconds until the end of the window in which a key is refused, 0 for none."""
        until = self._until.get(key, "") if self._store is counters.store else ""
        return max(0.0, -clock.seconds_since(until)) if until > clock.timestamp() else 0.0

    def add(self, key: str, left_s: float) -> None:
        if self._store is not counters.store or len(self._until) >= _MAX_WINDOWS:
            self._store, self._until = counters.store, {}
        self._until[key] = clock.timestamp_in(left_s)


_local, _refusals = LocalCounter(), Refusals()


class RateLimited(Problem):
    """A 429: more requests than a limit allows."""


def hit(name: str, rule: str, caller: str, count: Count = _local) -> dict[str, str]:
    """Count a request against a limit such as "100/15minutes" and return the RateLimit headers. Raises RateLimited."""
    if settings().rate_limits == "off":
        return {}
    limit, seconds = parse(rule)
    key = f"{name} {caller}"
    done, left_s = _count_up_to(limit, key, seconds) if count is count_in_store else count(key, seconds)
    if done > limit:
        raise _exceeded(name, rule, left_s)
    return _headers(name, rule, limit - done, left_s)


def refuse_exceeded(method: str, caller: Caller) -> None:
    """Refuse a request that is above the limit for its method and caller, before any work. It counts nothing.

    Raises RateLimited.
    """
    if settings().rate_limits == "off":
        return
    name, rule, key = _limit_for(method, caller)
    if left_s := _local.exceeded_for_s(f"{name} {key}", parse(rule)[0]):
        raise _exceeded(name, rule, left_s)


def is_of_caller(headers: list[tuple[str, str]]) -> bool:
    """Whether the limit that a response names is one of all requests of its caller."""
    names = (value.split('"')[1:2] for name, value in headers if name.lower() == "ratelimit")
    return any(name and name[0] in _OF_CALLER for name in names)


def _exceeded(name: str, rule: str, left_s: float) -> RateLimited:
    if name in _OF_CALLER:
        is_above_limit.set(True)
    headers = _headers(name, rule, 0, left_s)
    wait = headers["Retry-After"] = str(_wait_s(left_s))
    return RateLimited(429, f"More than {rule} of these requests; wait {wait} s.", headers=headers)


def _headers(name: str, rule: str, left: int, left_s: float) -> dict[str, str]:
    limit, seconds = parse(rule)
    return {
        "RateLimit": f'"{name}";r={left};t={_wait_s(left_s)}',
        "RateLimit-Policy": f'"{name}";q={limit};w={seconds}',
    }


def _wait_s(left_s: float) -> int:
    return max(1, round(left_s))


def _count_up_to(limit: int, key: str, seconds: int) -> tuple[int, float]:
    """Count a request in the store, unless this process knows that the limit is already exceeded."""
    if left_s := _refusals.left_s(key):
        return limit + 1, left_s
    done, left_s = count_in_store(key, seconds)
    if done > limit:
        _refusals.add(key, left_s)
    return done, left_s


def hit_for_request(method: str, caller: Caller) -> dict[str, str]:
    """Count a request against the limit for its method and caller. Raises RateLimited."""
    return hit(*_limit_for(method, caller))


def _limit_for(method: str, caller: Caller) -> tuple[str, str, str]:
    """Return the name of the limit, its rule, and what it counts for."""
    if method in ("GET", "HEAD"):
        return "read", settings().rate_read, caller.name
    if caller.id:
        return "user", settings().rate_user, caller.id
    return "anonymous", settings().rate_anonymous, caller.network


def hit_unauthenticated(method: str, network: str) -> dict[str, str]:
    """Count a request whose token was not accepted, apart from all others of its network.

    Clients with expired tokens do not use up the limit of anonymous writes, which they need to refresh their tokens.
    """
    if method in ("GET", "HEAD"):
        return hit("unauthenticated-read", settings().rate_read, network)
    return hit("unauthenticated", settings().rate_anonymous, network)


@cache
def parse(rule: str) -> tuple[int, int]:
    """Return (requests, seconds) of a rule such as "5/minute"."""
    found = re.match(RATE, rule)
    assert found is not None, rule  # noqa: S101  the settings validate it
    return int(found[1]), int(found[2] or 1) * _SECONDS[found[3]]
