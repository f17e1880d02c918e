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

from typing import Any

import orjson
import requests

from chassis.errors import DomainError, NotAttempted, NotFound, OutcomeUnknown, rebuild

_PROBLEM_MEMBERS = {"type", "title", "status", "detail", "instance", "traceId"}
_PROBLEM_TYPES = "/problems/"
_INVALID = (400, 413, 415, 422)


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


def read(upstream: str, response: requests.Response, errors: tuple[type[DomainError], ...] = ()) -> Any:
    """Return the JSON of a 200.

    Raises: the DomainError that the upstream responded with, as its class among `errors`; NotAttempted, NotRetryable or
    OutcomeUnknown.
    """
    status = response.status_code
    try:
        data = orjson.loads(response.content)
    except ValueError:
        data = None
    if status == 200 and data is not None:
        return data
    problem = data if isinstance(data, dict) else {}
    problem_type, title = str(problem.get("type", "")), str(problem.get("title", ""))
    kind = ""
    if problem_type.startswith(_PROBLEM_TYPES):
        kind = problem_type.removeprefix(_PROBLEM_TYPES).replace("-", "_")
    message, retry_after = f"{upstream} responded {status} {title}".rstrip(), _retry_after(response)
    if kind and (status in (404, 409) or any(error.kind == kind for error in errors)):
        extra = {name: value for name, value in problem.items() if name not in _PROBLEM_MEMBERS}
        raise rebuild((*errors, NotFound), kind, title, str(problem.get("detail", "")), extra)
    if kind == "not_done" or status in (408, 429):
        raise NotAttempted(message, retry_after)
    if status == 404:
        raise NotServed(message)
    if 400 <= status < 500:
        raise RequestRejected(message, retry_after, is_invalid=status in _INVALID)
    raise (UpstreamDefect if status == 500 else OutcomeUnknown)(message, retry_after)


def _retry_after(response: requests.Response) -> float:
    """Return `Retry-After` in seconds; services do not send its date form."""
    given = response.headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) <= 6 else 0.0
