"""The body of every error response: a problem document of RFC 9457."""

from html import escape
from typing import Any

import orjson

MEDIA_TYPE, PAGE_MEDIA_TYPE = "application/problem+json", "text/html; charset=utf-8"
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><main><h1>{title}</h1><p>{detail}</p><p>Trace id: <code>{trace_id}</code></p></main></body>
</html>
"""


def encode(
    status: int,
    title: str,
    detail: str,
    instance: str,
    trace_id: str,
    kind: str = "",
    extra: dict[str, Any] | None = None,
) -> bytes:
    """Return the document as JSON; without a `kind`, its type is `about:blank`."""
    return orjson.dumps(
        {
            "type": problem_type(kind) if kind else "about:blank",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": instance,
            "traceId": trace_id,
            **(extra or {}),
        }
    )


def encode_page(title: str, detail: str, trace_id: str) -> bytes:
    """Return a document for people, which needs no template."""
    return _PAGE.format(title=escape(title), detail=escape(detail), trace_id=escape(trace_id)).encode()


def problem_type(kind: str) -> str:
    """Return the URI that identifies a kind of error."""
    return f"/problems/{kind.replace('_', '-')}"
