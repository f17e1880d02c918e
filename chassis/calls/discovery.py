"""Where another service is: the addresses that the settings list, or those that DNS gives for its headless name.

An address that fails three times is left out for 10 s, but never more than half of them.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chassis import clock
from chassis.errors import NotSent

RESOLVE_EVERY = 5.0
FAILURES, LEFT_OUT = 3, 10.0
POLICIES = ("round-robin", "random", "least-connections")

Resolve = Callable[[], list[str]]


class Address:
    """One endpoint of a callee, `host:port`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.busy = self.failures = 0
        self.out_until = float("-inf")


class Endpoints:
    """The addresses of one callee, and which of them is next."""

    def __init__(self, callee: str, resolve: Resolve, policy: str = "round-robin") -> None:
        if policy not in POLICIES:
            raise ValueError(f"a balancing policy is one of {', '.join(POLICIES)}")
        self._callee, self._resolve, self._policy = callee, resolve, policy
        self._lock = threading.Lock()
        self._known: list[Address] = []
        self._resolved = float("-inf")
        self._turn = 0

    @contextmanager
    def address(self) -> Iterator[str]:
        """The address for one call. Raises NotSent where there is none; an error in the block counts against it."""
        chosen = self._choose()
        try:
            yield chosen.name
        except Exception:
            self._ended(chosen, failed=True)
            raise
        self._ended(chosen, failed=False)

    def _choose(self) -> Address:
        self._refresh()
        with self._lock:
            fit = [each for each in self._known if each.out_until <= clock.monotonic()]
            if not fit:
                raise NotSent(f"{self._callee} has no address")
            if self._policy == "random":
                chosen = fit[int(clock.random() * len(fit))]
            else:
                self._turn += 1
                rotated = fit[self._turn % len(fit) :] + fit[: self._turn % len(fit)]
                chosen = min(rotated, key=lambda each: each.busy) if self._policy == "least-connections" else rotated[0]
            chosen.busy += 1
            return chosen

    def _ended(self, address: Address, failed: bool) -> None:
        with self._lock:
            address.busy -= 1
            address.failures = address.failures + 1 if failed else 0
            now = clock.monotonic()
            out = sum(each.out_until > now for each in self._known)
            if address.failures >= FAILURES and out + 1 <= len(self._known) // 2:
                address.out_until, address.failures = now + LEFT_OUT, 0

    def _refresh(self) -> None:
        """Resolve again when it is time; where that fails, what was known goes on to serve."""
        with self._lock:
            if clock.monotonic() - self._resolved < RESOLVE_EVERY:
                return
            self._resolved = clock.monotonic()
        found = self._resolve()
        with self._lock:
            if found:
                old = {each.name: each for each in self._known}
                self._known = [old.get(name) or Address(name) for name in found]


def resolver(callee: str, listed: str) -> Resolve:
    """How to find a callee: `listed` is `host:port|host:port`, or empty for DNS."""
    if listed:
        return lambda: listed.split("|")
    return lambda: _by_dns(callee)


def _by_dns(name: str, port: int = 80) -> list[str]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({f"[{to[0]}]:{port}" if kind == socket.AF_INET6 else f"{to[0]}:{port}" for kind, *_, to in found})
