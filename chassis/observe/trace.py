"""The trace context of the work under way (W3C Trace Context): taken over, handed on, named in each log line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from chassis import clock

_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_current: ContextVar[tuple[str, str, str] | None] = ContextVar("trace", default=None)


@contextmanager
def continued(traceparent: str | None) -> Iterator[str]:
    """Work on behalf of this `traceparent`, or of a new trace where it is missing or malformed; yields the trace id."""
    found = _PARENT.fullmatch(traceparent or "")
    trace_id, flags = (found[1], found[3]) if found else (clock.entropy(16).hex(), "01")
    token = _current.set((trace_id, clock.entropy(8).hex(), flags))
    try:
        yield trace_id
    finally:
        _current.reset(token)


def trace_id() -> str:
    """The id of the trace under way, or "" outside of any."""
    current = _current.get()
    return current[0] if current else ""


def traceparent() -> str:
    """The header to hand on; "" outside of any trace."""
    current = _current.get()
    return f"00-{current[0]}-{current[1]}-{current[2]}" if current else ""
