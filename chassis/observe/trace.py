"""The trace context of the work under way (W3C Trace Context): taken over, handed on, named in each log line.

    with trace.continued(header, "POST", "server") as span:       # on behalf of another process, or of a new trace
        with trace.span("inventory/reserve", "client") as span:   # a part of the work under way
            send(headers={"traceparent": trace.traceparent()})

Spans are recorded where `begin` found an endpoint to export them to. Without one only ids travel, and nothing of
OpenTelemetry is imported.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from chassis import clock
from chassis.observe import otlp

if TYPE_CHECKING:
    from chassis.observe.spans import Recorder

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Attributes = Mapping[str, str | int]

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
"""Those that HTTP knows; what anyone else may think of is `_OTHER`."""

_SAMPLED = frozenset("13579bdf")
"""Last digits of a traceparent whose trace is sampled."""
_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Span:
    """Work that nobody records: it hands ids on, and what is said of it has no effect.

    Names and values hold no ids of users, no query strings and no texts of errors. It begins when it is made; it is
    the work under way inside `with`, and ends with it. `traceparent` is the header to hand on, "" outside of any trace;
    `ids` say what the work is about, for its log lines alone.
    """

    __slots__ = ("_token", "ids", "traceparent")
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
        """A part of this work, about the same."""
        return Span(self.traceparent, None if self is _OUTSIDE else self.ids)

    def set(self, name: str, value: str | int) -> None:
        """Note an attribute, under its name in OpenTelemetry's semantic conventions."""

    def event(self, name: str, attributes: Attributes) -> None:
        """Note what happened meanwhile."""

    def served(self, method: str, route: str, status: int) -> None:
        """Name a server's span by its route, "" where there is none, and note how it was answered."""

    def failed(self, error: str) -> None:
        """Note that the work failed; `error` is its type."""

    def end(self, error: BaseException | None = None) -> None:
        """End work that was not under way inside `with`."""


_OUTSIDE = Span("")
"""Of any trace. Never entered, so that all may share it."""
_current: ContextVar[Span] = ContextVar("trace", default=_OUTSIDE)
_recorder: "Recorder | None" = None


def begin(service: str) -> None:
    """Record this process's spans from now on if there is an endpoint to send them to; to be called after any fork."""
    if otlp.endpoint("TRACES"):
        from chassis.observe import spans

        use(spans.exporting(service))


def use(recorder: "Recorder | None") -> None:
    """Record the spans of this process here; None: nowhere."""
    global _recorder
    _recorder = recorder


def recording() -> bool:
    """Whether this process records its spans."""
    return _recorder is not None


def continued(
    traceparent: str | None, name: str = "request", kind: Kind = "server", attributes: Attributes | None = None
) -> Span:
    """Work on behalf of this `traceparent`, or of a new trace where it is missing or malformed."""
    parent = traceparent if traceparent and _PARENT.fullmatch(traceparent) else ""
    if _recorder:
        return _recorder.continued(parent, name, kind, attributes)
    return Span(parent or _unrecorded())


def span(name: str, kind: Kind = "internal", attributes: Attributes | None = None) -> Span:
    """A part of the work under way."""
    return _current.get().child(name, kind, attributes)


def current() -> Span:
    """The work under way."""
    return _current.get()


def about(**ids: str) -> None:
    """Let the log lines of the work under way have these ids, as in `about(orderId=id)`."""
    work = _current.get()
    if work is not _OUTSIDE:
        work.ids.update(ids)


def trace_id() -> str:
    """The id of the trace under way, or "" outside of any."""
    return _current.get().traceparent[3:35]


def traceparent() -> str:
    """The header to hand on; "" outside of any trace."""
    return _current.get().traceparent


def exemplar(traceparent: str) -> dict[str, str] | None:
    """What ties a measurement to this trace, where it is recorded: the labels of an exemplar."""
    if _recorder is None or traceparent[54:] not in _SAMPLED:
        return None
    return {"trace_id": traceparent[3:35]}


def _unrecorded() -> str:
    ids = clock.entropy(24).hex()
    return f"00-{ids[:32]}-{ids[32:]}-00"
