"""Request bodies: strict JSON with exact decimals, or the bytes of an image where a route takes one."""

from typing import Any

import jiter
from flask import Request
from werkzeug.http import parse_options_header

from chassis.web.problems import Problem

MAX_BODY_BYTES = 64 * 1024
MAX_IMAGE_BYTES = 8 * 1024 * 1024
"""Of a body whose media type is `image/…`."""
MAX_DEPTH = 20
NO_CODING = "identity"
"""The Content-Encoding of a body as it is."""

_JSON = "application/json"


def read_json(request: Request) -> Any:
    """Return the body as data, fractions as Decimal. Raises Problem as `parse_json`."""
    coding = request.headers.get("Content-Encoding", NO_CODING)
    return parse_json(request.get_data(), request.headers.get("Content-Type", ""), coding)


def parse_json(body: bytes, content_type: str, coding: str = NO_CODING) -> Any:
    """Return a body as data, fractions as Decimal. Raises Problem 400 (malformed) or 415 (another media type)."""
    if content_type != _JSON and parse_options_header(content_type)[0].lower() != _JSON:
        raise Problem(415, "Send application/json.")
    _require_no_compression(coding)
    try:
        data = jiter.from_json(
            body, float_mode="decimal", catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="none"
        )
    except ValueError as error:
        raise Problem(400, f"The body is not JSON: {error}.") from None
    if _depth(data) > MAX_DEPTH:
        raise Problem(400, f"The body is nested deeper than {MAX_DEPTH}.")
    return data


def read_content(request: Request, media_types: tuple[str, ...]) -> bytes:
    """Return the body as it is. Raises Problem 415 (another media type)."""
    if request.mimetype not in media_types:
        raise Problem(415, f"Send {', '.join(media_types)}.")
    _require_no_compression(request.headers.get("Content-Encoding", NO_CODING))
    return request.get_data()


def max_bytes(content_type: str) -> int:
    """Return the largest size of a body with this Content-Type."""
    return MAX_IMAGE_BYTES if content_type.lower().startswith("image/") else MAX_BODY_BYTES


def _require_no_compression(coding: str) -> None:
    if coding != NO_CODING:
        raise Problem(415, "Send the body as it is, without compression.")


def _depth(data: Any) -> int:
    if isinstance(data, dict):
        return 1 + max(map(_depth, data.values()), default=0)
    if isinstance(data, list):
        return 1 + max(map(_depth, data), default=0)
    return 0
