"""What came of a call, read from the callee's answer.

    NotAttempted           certainly not done: the callee was busy, or it was too late; a retry may help
    ├── Unreachable   no connection: another address may have one
    └── NotRetryable        held back on our side, or a 4xx: a retry at once would not help
    OutcomeUnknown           may have been done: a broken connection or answer, or a 5xx
    └── ResponseTimeout        no answer in time

`retry_after` of each is what the callee asked for, 0 where it said nothing.
"""

from typing import Any

import orjson
import requests

from chassis.errors import DomainError, NotAttempted, NotFound, OutcomeUnknown, rebuild

_PROBLEM = {"type", "title", "status", "detail", "instance", "traceId"}
_MODELLED = "/problems/"


class Unreachable(NotAttempted):
    """There is no connection to this address."""


class NotRetryable(NotAttempted):
    """Not done, and asking again at once would not help."""


class ResponseTimeout(OutcomeUnknown):
    """There was no answer within the timeout_s or the deadline."""


def read(callee: str, response: requests.Response, errors: tuple[type[DomainError], ...] = ()) -> Any:
    """Return the JSON of a 200.

    Raises: the DomainError that the callee responded with, as its class among `errors`; NotAttempted, NotRetryable or
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
    type, title = str(problem.get("type", "")), str(problem.get("title", ""))
    kind = type.removeprefix(_MODELLED).replace("-", "_") if type.startswith(_MODELLED) else ""
    what, wait = f"{callee} answered {status} {title}".rstrip(), _retry_after(response)
    if kind and status in (404, 409):
        extra = {name: value for name, value in problem.items() if name not in _PROBLEM}
        raise rebuild((*errors, NotFound), kind, title, str(problem.get("detail", "")), extra)
    if kind == "not_done" or status in (408, 429):
        raise NotAttempted(what, wait)
    if 400 <= status < 500:
        raise NotRetryable(what, wait)
    raise OutcomeUnknown(what, wait)


def _retry_after(response: requests.Response) -> float:
    """Seconds; the form with a date is not used between services."""
    given = response.headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) <= 6 else 0.0
