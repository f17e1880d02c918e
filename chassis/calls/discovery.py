"""Where another service is: the addresses that DNS gives for the names that the settings list.

An address that refuses a connection leaves the call to the next. One that fails three times is left out for 10 s, but
never more than half of them, and where all others refuse it is asked again: it may be back, and they may be restarting.
A spare address, such as a Service's beside its pods' own, is asked only where no other is fit.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from chassis import clock
from chassis.calls.outcomes import NotRetryable, Unreachable
from chassis.errors import OutcomeUnknown

RESOLVE_EVERY = 5.0
FAILURES, LEFT_OUT = 3, 10.0

Policy = Literal["round-robin", "random", "least-connections"]
Resolve = Callable[[], list[list[str]]]
"""The addresses, and behind them the spare ones."""
T = TypeVar("T")


class Address:
    """One endpoint of a callee, `host:port`."""

    def __init__(self, name: str, spare: bool) -> None:
        self.name, self.spare = name, spare
        self.busy = self.failures = 0
        self.out_until = float("-inf")


class Endpoints:
    """The addresses of one callee, and which of them is next."""

    def __init__(self, callee: str, resolve: Resolve, policy: Policy = "round-robin") -> None:
        self._callee, self._resolve, self._policy = callee, resolve, policy
        self._lock, self._resolving = threading.Lock(), threading.Lock()
        self._known: list[Address] = []
        self._resolved = float("-inf")
        self._turn = 0

    def ask(self, once: Callable[[str], T]) -> T:
        """What `once(address)` returns. Raises NotRetryable where there is no address, and Unreachable where all refuse."""
        self._refresh()
        refused: list[Address] = []
        last: Unreachable | None = None
        while address := self._choose(refused):
            try:
                with self._used(address):
                    return once(address.name)
            except Unreachable as error:
                refused.append(address)
                last = error
        raise last or NotRetryable(f"{self._callee} has no address")

    def _choose(self, refused: list[Address]) -> Address | None:
        with self._lock:
            now = clock.monotonic()
            left = [each for each in self._known if each not in refused]
            fit = [each for each in left if each.out_until <= now] or left
            fit = [each for each in fit if not each.spare] or fit
            if not fit:
                return None
            self._turn += 1
            turn = self._turn % len(fit)
            rotated = fit[turn:] + fit[:turn]
            if self._policy == "random":
                chosen = fit[int(clock.random() * len(fit))]
            elif self._policy == "least-connections":
                chosen = min(rotated, key=lambda each: each.busy)
            else:
                chosen = rotated[0]
            chosen.busy += 1
            return chosen

    @contextmanager
    def _used(self, address: Address) -> Iterator[None]:
        """No connection, no answer and a 5xx count against the address; what it refuses does not."""
        failed = False
        try:
            yield
        except (OutcomeUnknown, Unreachable):
            failed = True
            raise
        finally:
            self._ended(address, failed)

    def _ended(self, address: Address, failed: bool) -> None:
        with self._lock:
            address.busy -= 1
            now = clock.monotonic()
            if not failed:
                address.failures, address.out_until = 0, now
                return
            address.failures += 1
            out = sum(each.out_until > now for each in self._known)
            if address.failures >= FAILURES and out + 1 <= len(self._known) // 2:
                address.out_until, address.failures = now + LEFT_OUT, 0

    def _refresh(self) -> None:
        """Resolve again when it is time: beside the calls, since DNS keeps no deadline; before the first, they wait."""
        with self._resolving:
            if clock.monotonic() - self._resolved < RESOLVE_EVERY:
                return
            self._resolved = clock.monotonic()
            if not self._known:
                self._learn()
                return
        threading.Thread(target=self._learn, name=f"resolve {self._callee}", daemon=True).start()

    def _learn(self) -> None:
        """Where nothing is found, what was known goes on to serve."""
        found = [(name, spare > 0) for spare, names in enumerate(self._resolve()) for name in names]
        with self._lock:
            if found:
                old = {each.name: each for each in self._known}
                self._known = [old.get(name) or Address(name, spare) for name, spare in found]


def resolver(callee: str, listed: str) -> Resolve:
    """How to find a callee: `listed` is `host:port|host:port||spare:port`; "" is its own name at port 80.

    A host may be a name for many addresses, such as a headless Service's.
    """
    tiers = [[host.rpartition(":") for host in tier.split("|")] for tier in (listed or f"{callee}:80").split("||")]
    return lambda: [[it for host, _, port in tier for it in _addresses(host.strip("[]"), int(port))] for tier in tiers]


def _addresses(name: str, port: int) -> list[str]:
    """What DNS gives for the name, none where it gives nothing; an address is its own."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({f"[{to[0]}]:{port}" if kind == socket.AF_INET6 else f"{to[0]}:{port}" for kind, *_, to in found})
