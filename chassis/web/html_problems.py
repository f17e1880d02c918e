"""The HTML face of a problem document (RFC 9457): the same status, the same words, the same trace id."""

from dataclasses import dataclass, field
from html import escape
from typing import Any

import orjson

from chassis.web import page_security
from chassis.web.response import WsgiResponse

_OWN = {"Content-Type", "Content-Length"}
_PLAIN = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><main><h1>{title}</h1><p>{detail}</p><p>Trace id: <code>{trace_id}</code></p><p><a href="/">Home</a></p></main>
</body>
</html>
"""


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
    shown = {name: escape(value) for name, value in vars(problem).items() if isinstance(value, str)}
    headers = page_security.headers()
    return WsgiResponse(
        [_PLAIN.format_map(shown).encode()], problem.status, headers, content_type="text/html; charset=utf-8"
    )


def is_wanted(path: str) -> bool:
    """Whether people read the errors of this path of a service with pages, and not programs."""
    return not path.startswith(("/api/", "/internal/"))


def keep_headers(problem: WsgiResponse, page: WsgiResponse) -> None:
    """Give the page the headers of the document, such as Retry-After and Allow."""
    for name, value in problem.headers:
        if name not in _OWN:
            page.headers[name] = value
