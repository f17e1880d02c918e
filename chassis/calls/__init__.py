"""Calling another service: a command goes out, its answer comes back, or one of three things is raised.

    calls.send(Reserve(order_id=id, lines=lines), key=f"{id}:reserve")

A `Refusal` is the callee's own. `NotSent` is certainly not done, `Unknown` may have been: sent again with the same key
it is done once. Retries happen here and nowhere else; a saga, which repeats for itself, asks for one attempt.
"""

from collections.abc import Callable
from typing import Any

import orjson
import requests
from pydantic import ValidationError
from requests.adapters import HTTPAdapter

from chassis import clock
from chassis.calls import deadline
from chassis.calls.tokens import ServiceTokens
from chassis.errors import NotSent, Refusal, TooLate, Trouble, Unknown
from chassis.events.messages import Command
from chassis.observe import metrics, trace
from chassis.wire import Wire

CONNECT = 0.25
LONGEST = 4.0
"""Seconds that a call may take at most; shorter than any lease it is made under."""
ATTEMPTS = 3
BACKOFF = 0.05
_PROBLEM = {"type", "title", "status", "detail", "instance", "traceId"}

__all__ = ["Client", "deadline", "fetch", "send", "use"]


class Client:
    """Pooled connections to the other services of one process; safe to share between threads."""

    def __init__(self, tokens: ServiceTokens, address: Callable[[str], str], pool: int) -> None:
        self._tokens, self._address = tokens, address
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", HTTPAdapter(pool_connections=16, pool_maxsize=pool))

    def send(self, command: Command, key: str, attempts: int) -> Any:
        """The command's answer. Raises Refusal, NotSent, Unknown or TooLate; `attempts` in all."""
        failure: Trouble | None = None
        try:
            for attempt in range(attempts):
                if attempt:
                    clock.sleep(min(deadline.remaining(LONGEST), BACKOFF * 2**attempt * clock.random()))
                started = clock.monotonic()
                outcome = "done"
                try:
                    return self._once(command, key)
                except Refusal:
                    outcome = "refused"
                    raise
                except NotSent as error:
                    outcome = "not sent"
                    failure = failure or error  # what an earlier try has left unknown stays so
                except Unknown as error:
                    outcome, failure = "unknown", error
                finally:
                    timer = metrics.calls.labels(command.service, command.name, outcome)
                    timer.observe(clock.monotonic() - started)
        except TooLate:
            if failure is None:
                raise
        assert failure is not None  # noqa: S101 - every other way out returned or raised
        raise failure

    def fetch(self, service: str, path: str) -> Any:
        """The JSON that a public route answers. Raises NotSent or Unknown."""
        response = self._request("GET", service, path, b"", {})
        if response.status_code != 200:
            raise Unknown(f"{service} answered {response.status_code}")
        return orjson.loads(response.content)

    def _once(self, command: Command, key: str) -> Wire:
        headers = {
            "Authorization": f"Bearer {self._tokens.for_callee(command.service)}",
            "Content-Type": "application/json",
        }
        if key:
            headers["Idempotency-Key"] = key
        body = orjson.dumps(command.data())
        response = self._request("POST", command.service, f"/internal/{command.name}", body, headers)
        return _answer(command, response)

    def _request(self, method: str, service: str, path: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        left = deadline.remaining(LONGEST) - deadline.HOP
        if left <= 0:
            raise TooLate("the deadline has passed")
        headers = {**headers, deadline.HEADER: str(int(left * 1000)), "traceparent": trace.traceparent()}
        try:
            return self._session.request(
                method,
                f"http://{self._address(service)}{path}",
                data=body,
                headers=headers,
                timeout=(min(CONNECT, left), left),
                allow_redirects=False,
            )
        except requests.ConnectTimeout as error:
            raise NotSent(f"{service} cannot be reached") from error
        except requests.ConnectionError as error:
            if "NewConnectionError" in repr(error):
                raise NotSent(f"{service} cannot be reached") from error
            raise Unknown(f"{service} closed the connection") from error
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


_client: Client | None = None


def use(client: Client) -> None:
    """Call through this client from now on. Once in each process, after any fork."""
    global _client
    _client = client


def _current() -> Client:
    if _client is None:
        raise RuntimeError("this process calls no one: declare it in service.py with calls(...)")
    return _client


def send(command: Command, *, key: str = "", attempts: int = ATTEMPTS) -> Any:
    """Send a command to the service that declares it and return its `Answer`. Raises as `Client.send`."""
    return _current().send(command, key, attempts)


def fetch(service: str, path: str) -> Any:
    """The JSON of a public route of another service."""
    return _current().fetch(service, path)
