"""Paths of requests that match no route, as a log line may hold them."""

from urllib.parse import quote

_MAX_CHARS, _MAX_SEGMENT_CHARS = 128, 32
"""A token of a misspelled link is longer than a segment that is shown, so that no whole one is logged."""
_MAX_SEGMENTS = 16


def loggable(path: str) -> str:
    """Return the start of a path (WSGI text, one character per byte) as printable ASCII.

    Everything but unreserved characters is percent-encoded. A segment is cut; one with an `@`, which may be an e-mail
    address, is left out.
    """
    return "/".join(map(_segment, path[: 4 * _MAX_CHARS].split("/")[:_MAX_SEGMENTS]))[:_MAX_CHARS]


def _segment(segment: str) -> str:
    if "@" in segment or "%40" in segment:
        return "..."
    return quote(segment[:_MAX_SEGMENT_CHARS], safe="", encoding="latin-1", errors="replace")
