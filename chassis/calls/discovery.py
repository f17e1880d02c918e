"""Discovery and client-side load balancing: the addresses that DNS gives for the names in the settings.

If an address refuses the connection, or does not serve the route, the call goes to the next one. An address that fails
three times is ejected for 10 s, but never more than half of them; while all others refuse, an ejected address is used,
too, because it may have recovered first. A spare address, such as a Service's beside those of its pods, is used while
no other is healthy.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from chassis import clock
from chassis.calls.outcomes import NotRetryable, NotServed, Unreachable
from chassis.errors import OutcomeUnknown

RESOLVE_EVERY_S = 5.0
MAX_FAILURES, EJECTED_S = 3, 10.0

Policy = Literal["round-robin", "random", "least-connections"]
Resolve = Callable[[], list[list[str]]]
"""Returns the addresses, then the spare addresses."""
T = TypeVar("T")


class Address:
    """One address of an upstream, `host:port`."""

    def __init__(self, name: str, spare: bool) -> None:
        self.name, self.spare = name, spare
        self.in_flight = self.failures = 0
        self.ejected_until = float("-inf")


class Endpoints:
    """The addresses of one upstream, and the policy that chooses among them."""

    def __init__(self, upstream: str, resolve: Resolve, policy: Policy = "round-robin") -> None:
        self._upstream, self._resolve, self._policy = upstream, resolve, policy
        self._lock, self._resolving = threading.Lock(), threading.Lock()
        self._known: list[Address] = []
        self._resolved_at = float("-inf")
        self._turn = 0

    def call(self, exchange: Callable[[str], T]) -> T:
        """Return `exchange(address)` for an address that accepts the connection and serves the route.

        Raises: NotRetryable without any address, NotServed if all respond so, Unreachable if none serves the route and
        one refuses, and what `exchange` raises.
        """
        self._refresh()
        refused: list[Address] = []
        failure: Unreachable | NotServed | None = None
        while address := self._choose(refused):
            try:
                with self._in_flight(address):
                    return exchange(address.name)
            except (Unreachable, NotServed) as error:
                refused.append(address)
                failure = failure if isinstance(failure, Unreachable) else error
        raise failure or NotRetryable(f"no address for {self._upstream}")

    def _choose(self, refused: list[Address]) -> Address | None:
        with self._lock:
            now = clock.monotonic()
            left = [each for each in self._known if each not in refused]
            healthy = [each for each in left if each.ejected_until <= now] or left
            healthy = [each for each in healthy if not each.spare] or healthy
            if not healthy:
                return None
            self._turn += 1
            turn = self._turn % len(healthy)
            rotated = healthy[turn:] + healthy[:turn]
            if self._policy == "random":
                chosen = healthy[int(clock.random() * len(healthy))]
            elif self._policy == "least-connections":
                chosen = min(rotated, key=lambda each: each.in_flight)
            else:
                chosen = rotated[0]
            chosen.in_flight += 1
            return chosen

    @contextmanager
    def _in_flight(self, address: Address) -> Iterator[None]:
        """Count a lost connection, a missing response and a 5xx as failures of the address."""
        failed = False
        try:
            yield
        except (OutcomeUnknown, Unreachable):
            failed = True
            raise
        finally:
            self._record(address, failed)

    def _record(self, address: Address, failed: bool) -> None:
        with self._lock:
            address.in_flight -= 1
            now = clock.monotonic()
            if not failed:
                address.failures, address.ejected_until = 0, now
                return
            address.failures += 1
            ejected = sum(each.ejected_until > now for each in self._known)
            if address.failures >= MAX_FAILURES and ejected + 1 <= len(self._known) // 2:
                address.ejected_until, address.failures = now + EJECTED_S, 0

    def _refresh(self) -> None:
        """Resolve again every 5 s, in the background because DNS has no deadline; the first calls wait for it."""
        with self._resolving:
            if clock.monotonic() - self._resolved_at < RESOLVE_EVERY_S:
                return
            self._resolved_at = clock.monotonic()
            if not self._known:
                self._update()
                return
        threading.Thread(target=self._update, name=f"resolve {self._upstream}", daemon=True).start()

    def _update(self) -> None:
        """Resolve the addresses; keep the known ones if DNS has none."""
        found = [(name, spare > 0) for spare, names in enumerate(self._resolve()) for name in names]
        with self._lock:
            if found:
                old = {each.name: each for each in self._known}
                self._known = [old.get(name) or Address(name, spare) for name, spare in found]


def resolver(upstream: str, listed: str) -> Resolve:
    """Return how to find an upstream: `listed` is `host:port|host:port||spare:port`; "" is its own name at port 80.

    A host may be a name with many addresses, such as a headless Service's.
    """
    tiers = [[host.rpartition(":") for host in tier.split("|")] for tier in (listed or f"{upstream}:80").split("||")]
    return lambda: [[it for host, _, port in tier for it in _look_up(host.strip("[]"), int(port))] for tier in tiers]


def _look_up(name: str, port: int) -> list[str]:
    """Return the addresses that DNS has for a name, or none; the address of an address is itself."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({f"[{to[0]}]:{port}" if kind == socket.AF_INET6 else f"{to[0]}:{port}" for kind, *_, to in found})
