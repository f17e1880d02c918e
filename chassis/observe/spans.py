"""Spans recorded by opentelemetry-sdk and exported by OTLP over HTTP; imported only if there is an endpoint.

OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_* are the SDK's own settings.
"""

import threading
from collections.abc import Collection
from types import TracebackType

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace import Span as OtelSpan

from chassis import clock
from chassis.errors import DomainError
from chassis.observe import otlp
from chassis.observe.trace import METHODS, Attributes, Kind, Span
from chassis.settings import PLATFORM

_NO_PARENT = Context()
_KINDS = {kind.name.lower(): kind for kind in SpanKind}


class Recorder:
    """Records the spans of one process, and exports them in batches on its own thread.

    A span has the `traced_ids` of its work: `orderId` as `order.id`.
    """

    def __init__(self, service: str, exporter: SpanExporter, traced_ids: Collection[str] = ()) -> None:
        self._ids = _Ids()
        self.traced_ids = {id: f"{id.removesuffix('Id')}.id" for id in traced_ids}
        resource = Resource(otlp.resource_defaults()).merge(Resource.create({"service.name": service}))
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(PLATFORM)
        self._parent_decides = isinstance(self._provider.sampler, ParentBased)
        self.flush, self.shutdown = self._provider.force_flush, self._provider.shutdown

    def continue_trace(self, parent: str, name: str, kind: Kind, attributes: Attributes | None) -> Span:
        """Start a span of the trace of this valid traceparent, or of a new trace for ""; build only what is sampled."""
        if not parent:
            ids = clock.random_bytes(24).hex()
            self._ids.trace = int(ids[:32], 16)
            sampling = self._provider.sampler.should_sample(_NO_PARENT, self._ids.trace, name)
            if sampling.decision is not Decision.RECORD_AND_SAMPLE:
                return Span(f"00-{ids[:32]}-{ids[32:]}-00")
            return self.start(_NO_PARENT, name, kind, attributes)
        flags = int(parent[53:], 16)
        if self._parent_decides and not flags & TraceFlags.SAMPLED:
            return Span(parent)
        remote = SpanContext(int(parent[3:35], 16), int(parent[36:52], 16), True, TraceFlags(flags))
        return self.start(set_span_in_context(NonRecordingSpan(remote), _NO_PARENT), name, kind, attributes)

    def start(self, context: Context, name: str, kind: Kind, attributes: Attributes | None) -> Span:
        """Start a span; one that the sampler drops only propagates ids."""
        span = self._tracer.start_span(name, context, _KINDS[kind], attributes)
        ids = span.get_span_context()
        traceparent = f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"
        return RecordedSpan(traceparent, span, self) if span.is_recording() else Span(traceparent)


class RecordedSpan(Span):
    """A span that is recorded."""

    __slots__ = ("_recorder", "_span")
    is_recorded = True

    def __init__(self, traceparent: str, span: OtelSpan, recorder: Recorder) -> None:
        super().__init__(traceparent)
        self._span, self._recorder = span, recorder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, stack)
        self.end(error)

    def child(self, name: str, kind: Kind, attributes: Attributes | None) -> Span:
        child = self._recorder.start(set_span_in_context(self._span, _NO_PARENT), name, kind, attributes)
        child.ids = self.ids
        return child

    def set_attribute(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)

    def add_event(self, name: str, attributes: Attributes) -> None:
        self._span.add_event(name, attributes)

    def set_response(self, method: str, route: str, status: int) -> None:
        known = method if method in METHODS else "HTTP"
        self._span.update_name(f"{known} {route}" if route else known)
        self._span.set_attribute("http.request.method", known if known == method else "_OTHER")
        if route:
            self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self.set_error(str(status))

    def set_error(self, error: str) -> None:
        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute("error.type", error)

    def end(self, error: BaseException | None = None) -> None:
        # A domain error is a response. Other errors are recorded by type only: their text may contain personal data.
        if error is not None and not isinstance(error, DomainError):
            self.set_error(type(error).__qualname__)
        for id in self._recorder.traced_ids.keys() & self.ids.keys():
            self._span.set_attribute(self._recorder.traced_ids[id], self.ids[id])
        self._span.end()


class _Ids(IdGenerator, threading.local):
    """Ids from the clock of this process. A thread sets the id of a new trace before the sampler decides on it."""

    trace = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return int.from_bytes(clock.random_bytes(8), "big")


def otlp_recorder(service: str, traced_ids: Collection[str]) -> Recorder:
    """Return a recorder that exports where the OTEL_* variables say."""
    return Recorder(service, OTLPSpanExporter(), traced_ids)
