"""The HTML face of a problem document (RFC 9457): the same status, the same words, the same trace id."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from chassis.web import page_security, problem_document
from chassis.web.response import WsgiResponse

_OWN = {"Content-Type", "Content-Length"}


@dataclass(frozen=True)
class ProblemPage:
    """What the template of problems shows."""

    status: int
    title: str
    detail: str
    trace_id: str
    kind: str
    """The `type` of the document, such as `/problems/not-found`."""
    extra: dict[str, Any] = field(default_factory=dict)
    """All members of the document, such as `errors`."""


def read(problem: WsgiResponse) -> ProblemPage:
    """Return a problem document in the form for the template."""
    document = orjson.loads(problem.get_data())
    return ProblemPage(
        document["status"], document["title"], document["detail"], document["traceId"], document["type"], document
    )


def face(problem: WsgiResponse, path: str) -> WsgiResponse:
    """Return a problem that no app saw as a page without a template, if one is wanted."""
    if not is_wanted(path):
        return problem
    page = plain(read(problem))
    keep_headers(problem, page)
    return page


def plain(problem: ProblemPage) -> WsgiResponse:
    """Return a page without a template."""
    body = problem_document.encode_page(problem.title, problem.detail, problem.trace_id)
    headers = page_security.headers()
    return WsgiResponse([body], problem.status, headers, content_type=problem_document.PAGE_MEDIA_TYPE)


def is_wanted(path: str) -> bool:
    """Whether people read the errors of this path of a service with pages, and not programs."""
    return not path.startswith(("/api/", "/internal/"))


def keep_headers(problem: WsgiResponse, page: WsgiResponse) -> None:
    """Give the page the headers of the document, such as Retry-After and Allow."""
    for name, value in problem.headers:
        if name not in _OWN:
            page.headers[name] = value
