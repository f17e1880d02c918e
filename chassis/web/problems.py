"""Errors as RFC 9457 problems. The only place that knows which failure is which HTTP status."""

from typing import Any

import orjson
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from chassis.errors import DeadlineExceeded, DomainError, TransientError
from chassis.observe import trace
from chassis.observe.log import log
from chassis.web.response import WsgiResponse

STATUS = {"not_found": 404, "invalid": 422, "stale": 412, "forbidden": 403, "key_reused": 422}
"""Kinds of refusal that mean the same in every service; any other is 409, unless the route says otherwise."""

_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid input",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
    504: "Too late",
}


class Problem(Exception):
    """An answer that ends the request: for what is about HTTP and not about the domain."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.extra = status, detail, headers or {}, extra


def unauthenticated() -> Problem:
    """One and the same answer, whatever is wrong with a token."""
    return Problem(401, "Sign in and send a valid access token.", headers={"WWW-Authenticate": "Bearer"})


def respond(
    status: int,
    title: str,
    detail: str,
    instance: str,
    kind: str = "",
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> WsgiResponse:
    """A problem as a response."""
    body = {
        "type": f"/problems/{kind.replace('_', '-')}" if kind else "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "traceId": trace.trace_id(),
        **extra,
    }
    return WsgiResponse(orjson.dumps(body), status, headers or {}, content_type="application/problem+json")


def to_response(error: BaseException, instance: str, statuses: dict[str, int]) -> WsgiResponse:
    """The problem that an exception is answered with; what nobody expected is logged and told to nobody."""
    if isinstance(error, Problem):
        return respond(
            error.status, _TITLES[error.status], error.detail, instance, headers=error.headers, **error.extra
        )
    if isinstance(error, DomainError):
        status = statuses.get(error.kind) or STATUS.get(error.kind, 409)
        wait = {"Retry-After": "1"} if status == 429 else None
        return respond(status, error.title, error.detail, instance, error.kind, wait, **error.extra)
    if isinstance(error, ValidationError):
        return respond(
            422, "Invalid input", "See errors for the fields to correct.", instance, "invalid", errors=fields(error)
        )
    if isinstance(error, DeadlineExceeded):
        return respond(504, _TITLES[504], "The deadline passed before the work began.", instance, "not_done")
    if isinstance(error, TransientError):
        log.warning("a request could not be served", error=error)
        wait = {"Retry-After": str(max(1, round(error.retry_after)))}
        return respond(503, _TITLES[503], "A part of the platform does not answer; try again.", instance, headers=wait)
    if isinstance(error, HTTPException):
        status = error.code or 500
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
        return respond(status, _TITLES.get(status, error.name), _plain(status), instance, headers=headers)
    log.error("a request failed", error=error)
    return respond(500, _TITLES[500], "This is a defect; its trace id finds it in the log.", instance)


def fields(error: ValidationError) -> list[dict[str, str]]:
    """Each bad field of a model with its reason; the value itself is not repeated."""
    listed = []
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        place = ""
        for part in each["loc"]:
            place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
        reason = each["msg"].removeprefix("Value error, ")
        listed.append({"field": place[:200], "reason": reason})
    return listed


def _plain(status: int) -> str:
    return {
        404: "There is nothing under this path.",
        405: "This path does not know the method; see Allow.",
        413: "The body is larger than this platform takes.",
    }.get(status, "The request cannot be read.")
