"""The body of every error response: a problem document of RFC 9457."""

from typing import Any

import orjson

MEDIA_TYPE = "application/problem+json"


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


def problem_type(kind: str) -> str:
    """Return the URI that identifies a kind of error."""
    return f"/problems/{kind.replace('_', '-')}"
