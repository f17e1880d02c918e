"""The client: what makes one call out of a command, and an outcome out of an answer."""

from collections.abc import Callable
from typing import Any

import orjson
import requests
from pydantic import ValidationError

from chassis import clock
from chassis.calls import deadline
from chassis.calls.callee import Callee
from chassis.calls.discovery import Endpoints, Resolve
from chassis.calls.tokens import ServiceTokens
from chassis.calls.transport import LONGEST, Adapter
from chassis.errors import NotSent, Refusal, TooLate, Trouble, Unknown
from chassis.events.messages import Command
from chassis.observe import metrics, trace
from chassis.wire import Wire

CONNECT = 0.25
ATTEMPTS = 3
BACKOFF, LONGEST_BACKOFF = 0.05, 1.0
_PROBLEM = {"type", "title", "status", "detail", "instance", "traceId"}


class Client:
    """Pooled connections to the other services of one process; safe to share between threads.

    `resolve(service)` says how its addresses are found; `threads` is how many the process has.
    """

    def __init__(self, tokens: ServiceTokens, resolve: Callable[[str], Resolve], threads: int) -> None:
        self._tokens, self._resolve, self._places = tokens, resolve, max(1, threads // 2)
        self._callees: dict[str, Callee] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", Adapter(pool_connections=64, pool_maxsize=threads))

    def send(self, command: Command, key: str, attempts: int) -> Any:
        """The command's answer. Raises Refusal, NotSent, Unknown or TooLate; `attempts` in all."""
        callee = self._callee(command.service)
        failure: Trouble | None = None
        for attempt in range(attempts):
            if attempt and not self._may_retry(callee, attempt, failure):
                break
            try:
                return self._timed(command, key, callee)
            except TooLate as error:
                failure = failure or error
                break
            except NotSent as error:
                failure = failure or error  # what an earlier try has left unknown stays so
            except Unknown as error:
                failure = error
        assert failure is not None  # noqa: S101 - every other way out returned or raised
        raise failure

    def fetch(self, service: str, path: str) -> Any:
        """The JSON that a public route answers. Raises NotSent or Unknown."""
        with self._callee(service).attempt() as address:
            response = self._request("GET", service, address, path, b"", {}, LONGEST)
            if response.status_code != 200:
                raise Unknown(f"{service} answered {response.status_code}")
            return orjson.loads(response.content)

    def _callee(self, name: str) -> Callee:
        callee = self._callees.get(name)
        if callee is None:
            made = Callee(name, Endpoints(name, self._resolve(name)), self._places)
            callee = self._callees.setdefault(name, made)
        return callee

    def _may_retry(self, callee: Callee, attempt: int, failure: Trouble | None) -> bool:
        """Wait with full jitter, if the budget pays for another try and the deadline leaves room for it."""
        wait = min(LONGEST_BACKOFF, BACKOFF * 2**attempt) * clock.random()
        try:
            if wait >= deadline.remaining(LONGEST) or not callee.budget.spend():
                return False
        except TooLate:
            return False
        clock.sleep(wait)
        return True

    def _timed(self, command: Command, key: str, callee: Callee) -> Wire:
        began, outcome = clock.monotonic(), "done"
        try:
            deadline.remaining(command.patience)  # too late is not the callee's failure
            with callee.attempt() as address:
                return self._once(command, key, address)
        except Refusal:
            outcome = "refused"
            raise
        except Trouble as error:
            outcome = "unknown" if isinstance(error, Unknown) else "not sent"
            raise
        finally:
            metrics.calls.labels(command.service, command.name, outcome).observe(clock.monotonic() - began)

    def _once(self, command: Command, key: str, address: str) -> Wire:
        headers = {
            "Authorization": f"Bearer {self._tokens.for_callee(command.service)}",
            "Content-Type": "application/json",
        }
        if key:
            headers["Idempotency-Key"] = key
        path, body = f"/internal/{command.name}", orjson.dumps(command.data())
        response = self._request("POST", command.service, address, path, body, headers, command.patience)
        return _answer(command, response)

    def _request(
        self, method: str, service: str, address: str, path: str, body: bytes, headers: dict[str, str], patience: float
    ) -> requests.Response:
        with deadline.within(patience):
            left = deadline.remaining(patience)
            handed_on = {deadline.HEADER: str(max(1, int((left - deadline.HOP) * 1000)))}
            try:
                return self._session.request(
                    method,
                    f"http://{address}{path}",
                    data=body,
                    headers={**headers, **handed_on, "traceparent": trace.traceparent()},
                    timeout=(min(CONNECT, left), left),
                    allow_redirects=False,
                )
            except requests.ConnectTimeout as error:
                raise NotSent(f"{service} cannot be reached") from error
            except requests.ConnectionError as error:
                if "NewConnectionError" in repr(error):
                    raise NotSent(f"{service} cannot be reached") from error
                raise Unknown(f"{service} closed the connection or did not answer in time") from error
            except requests.RequestException as error:
                raise Unknown(f"{service} did not answer in time") from error


def _answer(command: Command, response: requests.Response) -> Wire:
    status = response.status_code
    try:
        data = orjson.loads(response.content)
        if status == 200:
            return command.Answer.read(data)
        kind = data["type"].removeprefix("/problems/").replace("-", "_")
        title, detail = data["title"], data.get("detail", "")
    except (ValueError, KeyError, AttributeError, ValidationError) as error:
        raise Unknown(f"{command.service} answered {status} with something unreadable") from error
    if status == 409:
        raise Refusal(kind, title, detail, **{name: value for name, value in data.items() if name not in _PROBLEM})
    if kind == "not_done":
        raise NotSent(f"{command.service}: {title}")
    raise Unknown(f"{command.service} answered {status} {title}")
