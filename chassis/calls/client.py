"""The client: makes a call out of a command, tries again where that may help, keeps answers to fall back on."""

from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from chassis import clock, deadline
from chassis.calls import outcomes
from chassis.calls.callee import Callee
from chassis.calls.discovery import Endpoints, Policy, Resolve
from chassis.calls.outcomes import Futile
from chassis.calls.tokens import ServiceTokens
from chassis.calls.transport import LONGEST, Transport
from chassis.errors import Refusal, TooLate, Trouble, Unknown
from chassis.events.messages import Command
from chassis.observe import metrics, trace
from chassis.wire import Wire

T = TypeVar("T")

ATTEMPTS = 3
BACKOFF, LONGEST_BACKOFF = 0.05, 1.0


class Client:
    """Calls of the other services from one process; safe to share between threads.

    `resolve(service)` says how its addresses are found; `threads` is how many the process has.
    """

    def __init__(
        self, tokens: ServiceTokens, resolve: Callable[[str], Resolve], threads: int, balancing: Policy = "round-robin"
    ) -> None:
        self._tokens, self._resolve, self._balancing = tokens, resolve, balancing
        self._places = max(1, threads // 2)
        self._callees: dict[str, Callee] = {}
        self._transport = Transport(threads)
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}

    def send(self, command: Command, key: str, attempts: int) -> Any:
        """The command's answer. Raises Refusal, NotSent, Unknown or TooLate; `attempts` in all."""
        callee = self._callee(command.service)

        def once(address: str) -> Wire:
            return self._carried(command, key, address)

        return _insist(callee, command.name, once, attempts, repeatable=command.reads or bool(key))

    def fetch(self, service: str, path: str, stale: float) -> Any:
        """The JSON that a public route answers; where it cannot be asked, what it answered at most `stale` seconds ago.

        One answer is kept for each path that may be stale: let it be few. Raises Refusal, NotSent, Unknown or TooLate.
        """

        def once(address: str) -> Any:
            return outcomes.read(service, self._transport.exchange("GET", address, path, b"", {}, Command.patience))

        try:
            answer = _insist(self._callee(service), "fetch", once, ATTEMPTS, repeatable=True)
        except Trouble:
            since, answer = self._kept.get((service, path), (float("-inf"), None))
            if clock.monotonic() - since > stale:
                raise
            metrics.fallbacks.labels(service).inc()
            return answer
        if stale:
            self._kept[service, path] = clock.monotonic(), answer
        return answer

    def _callee(self, name: str) -> Callee:
        callee = self._callees.get(name)
        if callee is None:
            made = Callee(name, Endpoints(name, self._resolve(name), self._balancing), self._places)
            callee = self._callees.setdefault(name, made)
        return callee

    def _carried(self, command: Command, key: str, address: str) -> Wire:
        headers = {
            "Authorization": f"Bearer {self._tokens.for_callee(command.service)}",
            "Content-Type": "application/json",
        }
        if key:
            headers["Idempotency-Key"] = key
        body = orjson.dumps(command.data())
        path = f"/internal/{command.name}"
        response = self._transport.exchange("POST", address, path, body, headers, command.patience)
        data = outcomes.read(command.service, response)
        try:
            return command.Answer.read(data)
        except ValidationError as error:
            raise Unknown(f"{command.service} answered {command.name} with something unreadable") from error


def _insist(callee: Callee, name: str, once: Callable[[str], T], attempts: int, repeatable: bool) -> T:
    """Ask until there is an answer, or another try is not allowed; what one try has left unknown stays so."""
    unknown: Unknown | None = None
    attempt = 0
    while True:
        attempt += 1
        try:
            return _timed(callee, name, once)
        except Trouble as error:
            failure = error
        if isinstance(failure, Unknown):
            unknown = failure
        may_help = attempt < attempts and not isinstance(failure, (Futile, TooLate))
        harmless = repeatable or not unknown
        if not (may_help and harmless and _waited(callee, attempt, failure.retry_after)):
            raise unknown or failure


def _timed(callee: Callee, name: str, once: Callable[[str], T]) -> T:
    """One try, and how it ended."""
    began, outcome = clock.monotonic(), "done"
    method = f"{callee.name}/{name}"
    try:
        with trace.span(method, "client", {"rpc.system.name": "mercato", "rpc.method": method}):
            return callee.ask(once)
    except Refusal:
        outcome = "refused"
        raise
    except Trouble as error:
        outcome = "unknown" if isinstance(error, Unknown) else "not sent"
        raise
    finally:
        metrics.calls.labels(callee.name, name, outcome).observe(clock.monotonic() - began)


def _waited(callee: Callee, attempt: int, retry_after: float) -> bool:
    """Wait with full jitter, if the deadline leaves room for another try and the budget pays for it."""
    wait = retry_after + min(LONGEST_BACKOFF, BACKOFF * 2**attempt) * clock.random()
    try:
        if wait >= deadline.remaining(LONGEST) or not callee.budget.spend():
            return False
    except TooLate:
        return False
    clock.sleep(wait)
    return True
