"""What is known after a call, read from the response of the upstream.

    NotAttempted         certainly not done: the upstream was overloaded or the deadline had passed; a retry may help
    ├── Unreachable      no connection: another address may accept one
    └── NotRetryable     not sent by us: an immediate retry does not help
        └── RequestRejected  4xx: a later retry does not help either
            └── NotServed    404: the address has no such route; one of another release may have it
    OutcomeUnknown       may be done: connection lost, response malformed, or 5xx
    ├── ResponseTimeout  no response in time
    └── UpstreamDefect   500: the upstream met a defect, which may repeat itself

`retry_after` of each error is the `Retry-After` of the response in seconds, 0 without one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import Any

import orjson

from chassis.errors import DomainError, NotAttempted, NotFound, OutcomeUnknown, ServiceError, TransientError, rebuild

_PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance", "traceId"}
_PROBLEM_TYPES = "/problems/"
_INVALID = (400, 413, 415, 422)


class Headers(Mapping[str, str]):
    """The headers of a response. Their names have no case; a repeated one has its values joined."""

    def __init__(self, message: HTTPMessage) -> None:
        self._message = message

    def __getitem__(self, name: str) -> str:
        if (values := self._message.get_all(name)) is None:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._message.keys()))

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Unreachable(NotAttempted):
    """The address accepts no connection."""


class NotRetryable(NotAttempted):
    """The work is not done, and an immediate retry does not help."""


class RequestRejected(NotRetryable):
    """The upstream responded 4xx, and with no domain error; `is_invalid` if it cannot read the request."""

    def __init__(self, what: str, retry_after: float = 0.0, *, is_invalid: bool = False) -> None:
        super().__init__(what, retry_after)
        self.is_invalid = is_invalid


class NotServed(RequestRejected):
    """The address has no such route: during an upgrade, it is a process of another release."""


class ResponseTimeout(OutcomeUnknown):
    """No response came within the timeout of the command or the deadline."""


class UpstreamDefect(OutcomeUnknown):
    """The upstream responded 500."""


class ProblemResponse(ServiceError):
    """A public route responded 4xx: it says no to this client, with this request.

    `body` is the problem document, with `type`, `title` and `detail` as its members; `kind` is that of the domain
    error, such as `not_found`, "" if it is none.
    """

    def __init__(self, upstream: str, status: int, body: Any, headers: Mapping[str, str]) -> None:
        problem = _Problem(body)
        super().__init__(f"{upstream} responded {status} {problem.title}".rstrip())
        self.upstream, self.status, self.body, self.headers = upstream, status, problem.members, headers
        self.type, self.kind, self.title, self.detail = problem.type, problem.kind, problem.title, problem.detail


class _Problem:
    """The members of a problem document; of anything else, empty ones."""

    def __init__(self, data: Any) -> None:
        self.members: dict[str, Any] = data if isinstance(data, dict) else {}
        self.type, self.title = str(self.members.get("type", "")), str(self.members.get("title", ""))
        self.detail, self.kind = str(self.members.get("detail", "")), ""
        if self.type.startswith(_PROBLEM_TYPES):
            self.kind = self.type.removeprefix(_PROBLEM_TYPES).replace("-", "_")


def read(upstream: str, response: HttpResponse, errors: tuple[type[DomainError], ...] = ()) -> Any:
    """Return the JSON of a 200.

    Raises: the DomainError that the upstream responded with, as its class among `errors`; NotAttempted, NotRetryable or
    OutcomeUnknown.
    """
    status, data = response.status, _json(response)
    if status == 200 and data is not None:
        return data
    problem = _Problem(data)
    if problem.kind and (status in (404, 409) or any(error.kind == problem.kind for error in errors)):
        extra = {name: value for name, value in problem.members.items() if name not in _PROBLEM_MEMBERS}
        raise rebuild((*errors, NotFound), problem.kind, problem.title, problem.detail, extra)
    raise _failure(upstream, response, problem)


def read_public(upstream: str, response: HttpResponse) -> Any:
    """Return the JSON of a response that is meant for the client, None without a body: any but those raised.

    Raises: NotAttempted, NotServed, OutcomeUnknown.
    """
    status, data = response.status, _json(response)
    problem = _Problem(data)
    if 400 <= status < 500 and status != 408 and (problem.kind or status != 404):
        return data
    if status >= 400:
        raise _failure(upstream, response, problem)
    if data is None and response.content:
        raise OutcomeUnknown(f"{upstream} sent a malformed response")
    return data


def _failure(upstream: str, response: HttpResponse, problem: _Problem) -> TransientError:
    status, retry_after = response.status, _retry_after(response)
    message = f"{upstream} responded {status} {problem.title}".rstrip()
    if problem.kind == "not_done" or status in (408, 429):
        return NotAttempted(message, retry_after)
    if status == 404:
        return NotServed(message)
    if 400 <= status < 500:
        return RequestRejected(message, retry_after, is_invalid=status in _INVALID)
    return (UpstreamDefect if status == 500 else OutcomeUnknown)(message, retry_after)


def _json(response: HttpResponse) -> Any:
    try:
        return orjson.loads(response.content)
    except ValueError:
        return None


def _retry_after(response: HttpResponse) -> float:
    """Return `Retry-After` in seconds; services do not send its date form."""
    given = response.headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) <= 6 else 0.0
