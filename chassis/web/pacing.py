"""Pacing: the requests of a caller above its limit start one every 20 ms, so that refusing them costs little CPU time.

A caller is known by what its limit counts: its access token or cookie, else its network. Others wait for nothing, not
even behind it on the same connection of a proxy: a proxy sends the next request when it has the response. A request
that the local router or another service passes on is refused at once, since it holds a thread there; the process that
the client is connected to paces it.
"""

import heapq
import itertools
import re
from collections import OrderedDict
from typing import Generic, TypeVar

from chassis import clock
from chassis.web.auth import Caller
from chassis.web.client_address import is_trusted

INTERVAL_S = 0.02
MAX_WAIT_S = 1.0
"""The longest wait of one request: a caller with more than 50 connections is refused once a second on each."""
MEMORY_S = 1.0
"""How long a caller is paced after its last refusal."""
_MAX_CALLERS = 1000

_FIELD = re.compile(
    rb"\r\n(authorization|cookie|x-forwarded-for|x-service-token|x-router-token):[ \t]*([^\r\n]*)", re.IGNORECASE
)
_READS = (b"GET", b"HEAD")

_Key = tuple[bool, bytes, bytes]
T = TypeVar("T")


class Pacing(Generic[T]):
    """The callers that are refused, and their requests that wait, as `T`. Used by one thread."""

    def __init__(self) -> None:
        self._callers: OrderedDict[_Key, tuple[float, float]] = OrderedDict()
        """{caller: (when it was refused last, when its next request may start)}, by the time of the refusal."""
        self._waiting: list[tuple[float, int, T]] = []
        self._numbers = itertools.count()

    def note_refusal(self, head: bytes, peer: str) -> None:
        """Pace the caller of a request with this head, from the address `peer`, from now on."""
        now, caller = clock.monotonic(), _caller(head, peer)
        _, next_at = self._callers.pop(caller, (now, now + INTERVAL_S))
        self._callers[caller] = now, next_at
        if len(self._callers) > _MAX_CALLERS:
            self._callers.popitem(last=False)

    def hold(self, request: T, head: bytes, peer: str) -> bool:
        """Keep a request until its turn, if its caller is paced. Return False if it may start at once."""
        now = clock.monotonic()
        while self._callers and next(iter(self._callers.values()))[0] <= now - MEMORY_S:
            self._callers.popitem(last=False)
        if not self._callers:
            return False
        caller = _caller(head, peer)
        if (found := self._callers.get(caller)) is None:
            return False
        refused_at, next_at = found
        start_at = min(max(now, next_at), now + MAX_WAIT_S)
        self._callers[caller] = refused_at, start_at + INTERVAL_S
        if start_at <= now:
            return False
        heapq.heappush(self._waiting, (start_at, next(self._numbers), request))
        return True

    def wait_s(self, max_s: float) -> float:
        """Return the seconds until the turn of the next request, at most `max_s`."""
        return min(max_s, max(0.0, self._waiting[0][0] - clock.monotonic())) if self._waiting else max_s

    def take_due(self, everything: bool = False) -> list[T]:
        """Return the requests that may start now."""
        now, due = clock.monotonic(), []
        while self._waiting and (everything or self._waiting[0][0] <= now):
            due.append(heapq.heappop(self._waiting)[2])
        return due


def _caller(head: bytes, peer: str) -> _Key:
    """Return whether the request reads, who sends it, and the token of the service that passes it on, if any."""
    fields = {name.lower(): value for name, value in _FIELD.findall(head)}
    sender = fields.get(b"authorization") or fields.get(b"cookie")
    if not sender:
        forwarded = fields.get(b"x-forwarded-for", b"").rpartition(b",")[2].strip() if is_trusted(peer) else b""
        sender = Caller("", "", forwarded.decode("latin-1") or peer).network.encode("latin-1")
    passed_on = fields.get(b"x-service-token", b"") + fields.get(b"x-router-token", b"")
    return head.startswith(_READS), sender, passed_on
