"""The client: makes a call out of a command, tries again where that may help, keeps answers to fall back on."""

from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import requests
from pydantic import ValidationError

from chassis import clock, deadline
from chassis.calls import outcomes
from chassis.calls.discovery import Endpoints, Policy, Resolve
from chassis.calls.outcomes import NotRetryable, ResponseTimeout
from chassis.calls.tokens import ServiceTokens
from chassis.calls.transport import LONGEST, Transport
from chassis.calls.upstream import Upstream
from chassis.errors import DeadlineExceeded, DomainError, OutcomeUnknown, TransientError
from chassis.messages import Command
from chassis.observe import metrics, trace
from chassis.schema import Schema
from chassis.settings import PLATFORM

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
        self._callees: dict[str, Upstream] = {}
        self._transport = Transport(threads)
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}

    def send(self, command: Command, key: str, attempts: int) -> Any:
        """The command's answer. Raises DomainError, NotAttempted, OutcomeUnknown or DeadlineExceeded; `attempts` in all."""
        call = Call(self._callee(command.service), "POST", f"/internal/{command.name}", command.name)

        def once(address: str) -> Schema:
            return self._carried(call, command, key, address)

        return call.call_with_retries(once, attempts, repeatable=command.read_only or bool(key))

    def fetch(self, service: str, path: str, stale: float) -> Any:
        """The JSON that a public route answers; where it cannot be asked, what it answered at most `stale` seconds ago.

        `path` holds no id: metrics name it, and one answer is kept for each that may be stale. Raises as `send`.
        """
        call = Call(self._callee(service), "GET", path, "fetch")

        def once(address: str) -> Any:
            return call.read(self._transport.exchange("GET", address, path, b"", {}, Command.timeout_s))

        try:
            answer = call.call_with_retries(once, ATTEMPTS, repeatable=True)
        except TransientError:
            since, answer = self._kept.get((service, path), (float("-inf"), None))
            if clock.monotonic() - since > stale:
                raise
            metrics.fallbacks[service].inc()
            return answer
        if stale:
            self._kept[service, path] = clock.monotonic(), answer
        return answer

    def _callee(self, name: str) -> Upstream:
        callee = self._callees.get(name)
        if callee is None:
            made = Upstream(name, Endpoints(name, self._resolve(name), self._balancing), self._places)
            callee = self._callees.setdefault(name, made)
        return callee

    def _carried(self, call: "Call", command: Command, key: str, address: str) -> Schema:
        headers = {
            "Authorization": f"Bearer {self._tokens.for_callee(command.service)}",
            "Content-Type": "application/json",
        }
        if key:
            headers["Idempotency-Key"] = key
        body = orjson.dumps(command.data())
        response = self._transport.exchange("POST", address, call.path, body, headers, command.timeout_s)
        data = call.read(response, command.errors)
        try:
            return command.Reply.read(data)
        except ValidationError as error:
            raise OutcomeUnknown(f"{command.service} answered {command.name} with something unreadable") from error


class Call:
    """One call from its first try to its end: measured as a whole, with a span for each try."""

    def __init__(self, callee: Upstream, method: str, path: str, name: str) -> None:
        self.path = path
        self._callee, self._method, self._name = callee, method, f"{callee.name}/{name}"
        self._status = ""

    def read(self, response: requests.Response, errors: tuple[type[DomainError], ...] = ()) -> Any:
        """What the callee answered. Raises as `outcomes.read`."""
        self._status = str(response.status_code)
        return outcomes.read(self._callee.name, response, errors)

    def call_with_retries(self, once: Callable[[str], T], attempts: int, repeatable: bool) -> T:
        """Ask until there is an answer, or another try is not allowed; what one try has left unknown stays so."""
        began, error_type = clock.monotonic(), ""
        try:
            return self._insisted(once, attempts, repeatable)
        except DomainError:  # is an answer
            raise
        except Exception as error:
            error_type = type(error).__name__
            raise
        finally:
            callee, took = self._callee.name, clock.monotonic() - began
            timer = metrics.calls[callee, self.path, self._method, self._status, error_type]
            timer.observe(took, trace.exemplar(trace.traceparent()))

    def _insisted(self, once: Callable[[str], T], attempts: int, repeatable: bool) -> T:
        unknown: OutcomeUnknown | None = None
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._tried(once)
            except TransientError as error:
                failure = error
            if isinstance(failure, OutcomeUnknown):
                unknown = failure
            may_help = attempt < attempts and not isinstance(failure, (NotRetryable, DeadlineExceeded))
            harmless = repeatable or not unknown
            if not (may_help and harmless and _waited(self._callee, attempt, failure.retry_after)):
                if isinstance(failure, (DeadlineExceeded, ResponseTimeout)):
                    metrics.call_deadline_misses[self._callee.name].inc()
                raise unknown or failure
            metrics.retries[self._callee.name].inc()

    def _tried(self, once: Callable[[str], T]) -> T:
        """One try."""
        self._status = ""
        about = {"rpc.system.name": PLATFORM, "rpc.method": self._name, "server.address": self._callee.name}
        with trace.span(self._name, "client", about):
            return self._callee.ask(once)


def _waited(callee: Upstream, attempt: int, retry_after: float) -> bool:
    """Wait with full jitter, if the deadline leaves room for another try and the budget pays for it."""
    wait = retry_after + min(LONGEST_BACKOFF, BACKOFF * 2**attempt) * clock.random()
    try:
        if wait >= deadline.remaining(LONGEST) or not callee.budget.spend():
            return False
    except DeadlineExceeded:
        return False
    clock.sleep(wait)
    return True
