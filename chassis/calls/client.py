"""The client for calls to other services: retries, measurement, and stale responses to fall back on."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from chassis import clock, deadline
from chassis.calls import outcomes
from chassis.calls.breaker import DEFAULT_POLICY, BreakerPolicy
from chassis.calls.discovery import Endpoints, Policy, Resolve
from chassis.calls.outcomes import HttpResponse, NotRetryable, ResponseTimeout
from chassis.calls.stale import StaleResponses
from chassis.calls.tokens import SERVICE_TOKEN_HEADER, ServiceTokens
from chassis.calls.transport import MAX_CALL_S, Transport
from chassis.calls.upstream import Upstream
from chassis.errors import DeadlineExceeded, DomainError, OutcomeUnknown, TransientError
from chassis.messages import Command
from chassis.observe import metrics, trace
from chassis.schema import Schema
from chassis.settings import PLATFORM

T = TypeVar("T")

MAX_ATTEMPTS = 3
_BACKOFF_S, _MAX_BACKOFF_S = 0.05, 1.0


class Client:
    """Calls from one process to other services; safe to share between threads.

    `resolve(service)` returns how to find its addresses; `threads` is how many the process has, and `breakers` holds
    the thresholds of those upstreams that have their own.
    """

    def __init__(
        self,
        tokens: ServiceTokens,
        resolve: Callable[[str], Resolve],
        threads: int,
        balancing: Policy = "round-robin",
        breakers: Mapping[str, BreakerPolicy] | None = None,
    ) -> None:
        self._tokens, self._resolve, self._balancing = tokens, resolve, balancing
        self._breakers = breakers or {}
        self._max_calls = max(1, threads // 2)
        self._upstreams: dict[str, Upstream] = {}
        self._transport = Transport(threads)
        self._stale = StaleResponses()

    def send(self, command: Command, key: str, attempts: int, stale_s: float = 0.0) -> Any:
        """Send a command and return its reply; without a `key`, a command that is not read-only may not be repeated.

        If the call of a read-only command fails, return a reply that is at most `stale_s` seconds old.

        Raises: DomainError, NotAttempted, OutcomeUnknown, DeadlineExceeded.
        """
        if stale_s and not command.read_only:
            raise ValueError(f"{command.name} changes data: only a read-only command has a stale reply")
        call = Call(self._upstream(command.service), "POST", f"/internal/{command.name}", command.name)
        body = command.to_compact_json()
        headers = {
            "Authorization": f"Bearer {self._tokens.issue(command.service)}",
            "Content-Type": "application/json",
        }
        if key:
            headers["Idempotency-Key"] = key

        def exchange(address: str) -> Schema:
            response = self._transport.exchange("POST", address, call.path, body, headers, command.timeout_s)
            data = call.read(response, command.errors)
            try:
                return command.Reply.read(data)
            except ValidationError as error:
                raise OutcomeUnknown(f"{command.service} sent a malformed reply to {command.name}") from error

        def run() -> Schema:
            return call.run(exchange, attempts, repeatable=command.read_only or bool(key))

        if not stale_s:
            return run()
        return self._stale.fall_back(command.service, (command.name, body), run, stale_s)

    def fetch(self, service: str, path: str, stale_s: float) -> Any:
        """Return the JSON of a public route; if the call fails, a response that is at most `stale_s` seconds old.

        `path` holds no ids: metrics are labeled with it. Raises as `send`.
        """
        call = Call(self._upstream(service), "GET", path, "fetch")

        def exchange(address: str) -> Any:
            return call.read(self._transport.exchange("GET", address, path, b"", {}, Command.timeout_s))

        def run() -> Any:
            return call.run(exchange, MAX_ATTEMPTS, repeatable=True)

        return self._stale.fall_back(service, path, run, stale_s)

    def request(
        self, service: str, method: str, path: str, target: str, headers: dict[str, str], body: bytes, repeatable: bool
    ) -> tuple[HttpResponse, Any]:
        """Return the response of a public route, and its JSON, for a client that the `headers` tell of.

        `path` is the template of the `target`. Raises as `send`, but for domain errors: a 4xx is returned.
        """
        call = Call(self._upstream(service), method, path, f"{method} {path}")
        headers = headers | {SERVICE_TOKEN_HEADER: self._tokens.issue(service)}

        def exchange(address: str) -> tuple[HttpResponse, Any]:
            return call.read_public(self._transport.exchange(method, address, target, body, headers, MAX_CALL_S))

        return call.run(exchange, MAX_ATTEMPTS, repeatable)

    def _upstream(self, name: str) -> Upstream:
        upstream = self._upstreams.get(name)
        if upstream is None:
            endpoints = Endpoints(name, self._resolve(name), self._balancing)
            new = Upstream(name, endpoints, self._max_calls, self._breakers.get(name, DEFAULT_POLICY))
            upstream = self._upstreams.setdefault(name, new)
        return upstream


class Call:
    """One call with its retries: measured as a whole, with a span for each attempt."""

    def __init__(self, upstream: Upstream, method: str, path: str, name: str) -> None:
        self.path = path
        self._upstream, self._method, self._name = upstream, method, f"{upstream.name}/{name}"
        self._status = ""

    def read(self, response: HttpResponse, errors: tuple[type[DomainError], ...] = ()) -> Any:
        """Return the JSON of the response. Raises as `outcomes.read`."""
        self._status = str(response.status)
        return outcomes.read(self._upstream.name, response, errors)

    def read_public(self, response: HttpResponse) -> tuple[HttpResponse, Any]:
        """Return the response and its JSON. Raises as `outcomes.read_public`."""
        self._status = str(response.status)
        return response, outcomes.read_public(self._upstream.name, response)

    def run(self, exchange: Callable[[str], T], attempts: int, repeatable: bool) -> T:
        """Attempt the exchange until it succeeds or may not be repeated; measure it.

        Once an attempt ended with OutcomeUnknown, so does the call, unless a later attempt succeeds.
        """
        started_at, error_type = clock.monotonic(), ""
        try:
            return self._call_with_retries(exchange, attempts, repeatable)
        except DomainError:  # a response, not a failure
            raise
        except Exception as error:
            error_type = type(error).__name__
            raise
        finally:
            timer = metrics.calls[self._upstream.name, self.path, self._method, self._status, error_type]
            timer.observe(clock.monotonic() - started_at, trace.exemplar(trace.traceparent()))

    def _call_with_retries(self, exchange: Callable[[str], T], attempts: int, repeatable: bool) -> T:
        unknown: OutcomeUnknown | None = None
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._attempt(exchange)
            except TransientError as error:
                failure = error
            if isinstance(failure, OutcomeUnknown):
                unknown = failure
            may_help = attempt < attempts and not isinstance(failure, (NotRetryable, DeadlineExceeded))
            harmless = repeatable or not unknown
            if not (may_help and harmless and _back_off(self._upstream, attempt, failure.retry_after)):
                if isinstance(failure, (DeadlineExceeded, ResponseTimeout)):
                    metrics.call_deadline_misses[self._upstream.name].inc()
                raise unknown or failure
            metrics.retries[self._upstream.name].inc()

    def _attempt(self, exchange: Callable[[str], T]) -> T:
        self._status = ""
        attributes = {"rpc.system.name": PLATFORM, "rpc.method": self._name, "server.address": self._upstream.name}
        with trace.span(self._name, "client", attributes):
            return self._upstream.call(exchange)


def _back_off(upstream: Upstream, attempt: int, retry_after: float) -> bool:
    """Wait with full jitter; return False if the deadline or the retry budget allows no further attempt."""
    wait_s = retry_after + min(_MAX_BACKOFF_S, _BACKOFF_S * 2**attempt) * clock.random()
    try:
        if wait_s >= deadline.remaining(MAX_CALL_S) or not upstream.budget.spend():
            return False
    except DeadlineExceeded:
        return False
    clock.sleep(wait_s)
    return True
