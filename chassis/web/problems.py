"""Errors as HTTP responses with problem documents (RFC 9457). The only place that maps errors to HTTP statuses."""

from typing import Any

from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from chassis.calls.outcomes import ProblemResponse
from chassis.errors import DeadlineExceeded, DomainError, ErrorCategory, TransientError
from chassis.observe import trace
from chassis.observe.log import log
from chassis.settings import settings
from chassis.web import problem_document
from chassis.web.response import WsgiResponse

STATUS = {
    ErrorCategory.CONFLICT: 409,
    ErrorCategory.NOT_FOUND: 404,
    ErrorCategory.INVALID: 422,
    ErrorCategory.VERSION_CONFLICT: 412,
    ErrorCategory.FORBIDDEN: 403,
    ErrorCategory.UNAUTHENTICATED: 401,
    ErrorCategory.PAYMENT_REQUIRED: 402,
    ErrorCategory.RATE_LIMITED: 429,
    ErrorCategory.GONE: 410,
}
COMMAND_STATUS = STATUS | {
    ErrorCategory.FORBIDDEN: 409,
    ErrorCategory.UNAUTHENTICATED: 409,
    ErrorCategory.PAYMENT_REQUIRED: 409,
    ErrorCategory.RATE_LIMITED: 409,
}
"""The statuses of commands: 401, 403 and 429 are about the calling service, and never a decision of the domain."""

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


_INTERNAL_ERROR = "Internal error. Quote traceId when you report it."


class Problem(Exception):
    """An error response: for what is about HTTP and not about the domain."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.extra = status, detail, headers or {}, extra


def unauthenticated() -> Problem:
    """Return the same error, whatever is wrong with a token."""
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
    """Return a problem document as a response."""
    body = problem_document.encode(status, title, detail, instance, trace.trace_id(), kind, extra)
    return WsgiResponse(body, status, headers or {}, content_type=problem_document.MEDIA_TYPE)


def to_response(
    error: BaseException, instance: str, declared: tuple[type[DomainError], ...] = (), is_command: bool = False
) -> WsgiResponse:
    """Return the response for an exception. An unexpected one is logged; the response does not contain its text.

    `declared` are the domain errors of the route or command. With STRICT_ERRORS, any other one is a defect.
    """
    if isinstance(error, Problem):
        return respond(
            error.status, _TITLES[error.status], error.detail, instance, headers=error.headers, **error.extra
        )
    if isinstance(error, DomainError):
        if isinstance(error, declared):
            return _domain_error(error, instance, is_command)
        if settings().strict_errors == "off":
            log.warning("undeclared domain error; passed on", kind=error.kind)
            return _domain_error(error, instance, is_command)
        log.error(
            "undeclared domain error; declare it in `errors` of the route or command", error=error, kind=error.kind
        )
        return respond(500, _TITLES[500], _INTERNAL_ERROR, instance)
    if isinstance(error, ProblemResponse):
        return _passed_on(error, instance)
    if isinstance(error, ValidationError):
        return respond(
            422,
            "Invalid input",
            "See errors for the fields to correct.",
            instance,
            "invalid",
            errors=invalid_fields(error),
        )
    if isinstance(error, DeadlineExceeded):
        return respond(504, _TITLES[504], "The deadline passed before the work began.", instance, "not_done")
    if isinstance(error, TransientError):
        log.warning("request failed for now; answered 503", error=error)
        wait = {"Retry-After": str(max(1, round(error.retry_after)))}
        return respond(503, _TITLES[503], "A part of the platform does not answer; try again.", instance, headers=wait)
    if isinstance(error, HTTPException):
        status = error.code or 500
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
        return respond(status, _TITLES.get(status, error.name), _plain(status), instance, headers=headers)
    return defect(error, instance)


def defect(error: BaseException, instance: str) -> WsgiResponse:
    """Log an unexpected error and return a response that does not contain its text."""
    log.error("request failed; answered 500", error=error)
    return respond(500, _TITLES[500], _INTERNAL_ERROR, instance)


def _domain_error(error: DomainError, instance: str, is_command: bool) -> WsgiResponse:
    status = (COMMAND_STATUS if is_command else STATUS)[error.category]
    wait = {"Retry-After": str(error.extra.get("retryAfter", 1))} if status == 429 else None
    return respond(status, error.title, error.detail, instance, error.kind, wait, **error.extra)


def _passed_on(error: ProblemResponse, instance: str) -> WsgiResponse:
    """Return what another service responded to the same client; a request that it cannot read is our defect."""
    if error.status not in _TITLES.keys() | STATUS.values() or error.status in (400, 405, 413, 415):
        return defect(error, instance)
    wait = {name: error.headers[name] for name in ("Retry-After",) if name in error.headers}
    errors = {"errors": error.body["errors"]} if "errors" in error.body else {}
    return respond(error.status, error.title, error.detail, instance, error.kind, wait, **errors)


def invalid_fields(error: ValidationError) -> list[dict[str, str]]:
    """Return each invalid field with its reason; the value itself is not repeated."""
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
