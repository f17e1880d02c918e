"""The trace context of the current work (W3C Trace Context): received, propagated, and part of each log line.

    with trace.continue_trace(header, "POST", "server"):      # for another process, or a new trace
        with trace.span("inventory/reserve", "client"):       # a part of the current work
            send(headers={"traceparent": trace.traceparent()})

Spans are recorded only if there is a recorder, which `chassis.observe.export` sets; otherwise only ids are propagated.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Literal, Protocol, Self

from chassis import clock

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Attributes = Mapping[str, str | int]

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
"""Methods that HTTP defines; any other is recorded as `_OTHER`."""

_SAMPLED = frozenset("13579bdf")
"""Last digits of a traceparent whose trace is sampled."""
_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Span:
    """A span that is not recorded: it propagates ids, and its other methods have no effect.

    Names and values hold no ids of users, no query strings and no texts of errors. A span starts when it is made;
    inside `with` it is the current work, and ends with it. `traceparent` is the header to propagate, "" outside any
    trace; `ids` are fields of its log lines.
    """

    __slots__ = ("_token", "ids", "traceparent")
    is_recorded = False
    _token: "Token[Span]"

    def __init__(self, traceparent: str, ids: dict[str, str] | None = None) -> None:
        self.traceparent = traceparent
        self.ids = {} if ids is None else ids

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        _current.reset(self._token)

    def child(self, name: str, kind: Kind, attributes: Attributes | None) -> "Span":
        """Start a span for a part of this work; it shares the ids."""
        return Span(self.traceparent, None if self is _OUTSIDE else self.ids)

    def set_attribute(self, name: str, value: str | int) -> None:
        """Set an attribute, named by OpenTelemetry's semantic conventions."""

    def add_event(self, name: str, attributes: Attributes) -> None:
        """Add an event that happened during the work."""

    def set_response(self, method: str, route: str, status: int) -> None:
        """Name a server span by its route, "" without one, and set the status of the response."""

    def set_error(self, error: str) -> None:
        """Mark the work as failed; `error` is the type of the error."""

    def end(self, error: BaseException | None = None) -> None:
        """End work that was not done inside `with`."""


class Recorder(Protocol):
    """Records spans."""

    def continue_trace(self, parent: str, name: str, kind: Kind, attributes: Attributes | None) -> Span:
        """Start a span of the trace of this valid traceparent, or of a new trace for ""."""


_OUTSIDE = Span("")
"""The span outside any trace; never entered, so that all threads can share it."""
_current: ContextVar[Span] = ContextVar("trace", default=_OUTSIDE)
_recorder: Recorder | None = None


def use(recorder: Recorder | None) -> None:
    """Set the recorder of this process; None records nothing."""
    global _recorder
    _recorder = recorder


def is_recording() -> bool:
    """Return whether this process records spans."""
    return _recorder is not None


def continue_trace(
    traceparent: str | None, name: str = "request", kind: Kind = "server", attributes: Attributes | None = None
) -> Span:
    """Start a span of the trace of this `traceparent`, or of a new trace if it is missing or malformed."""
    parent = traceparent if traceparent and _PARENT.fullmatch(traceparent) else ""
    if _recorder:
        return _recorder.continue_trace(parent, name, kind, attributes)
    return Span(parent or _new_traceparent())


def span(name: str, kind: Kind = "internal", attributes: Attributes | None = None) -> Span:
    """Start a span for a part of the current work."""
    return _current.get().child(name, kind, attributes)


def current() -> Span:
    """Return the span of the current work."""
    return _current.get()


def bind(**ids: str) -> None:
    """Add ids to all further log lines of the current work, as in `bind(orderId=id)`."""
    span = _current.get()
    if span is not _OUTSIDE:
        span.ids.update(ids)


def trace_id() -> str:
    """Return the id of the current trace, "" outside any."""
    return _current.get().traceparent[3:35]


def traceparent() -> str:
    """Return the header to propagate, "" outside any trace."""
    return _current.get().traceparent


def exemplar(traceparent: str) -> dict[str, str] | None:
    """Return the exemplar labels that link a measurement to this trace, None if it is not recorded."""
    if _recorder is None or traceparent[54:] not in _SAMPLED:
        return None
    return {"trace_id": traceparent[3:35]}


def _new_traceparent() -> str:
    """Return the traceparent of a new trace that is not sampled."""
    ids = clock.random_bytes(24).hex()
    return f"00-{ids[:32]}-{ids[32:]}-00"
