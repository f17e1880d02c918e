"""Spans as opentelemetry-sdk records them, exported by OTLP over HTTP; imported only where there is an endpoint.

OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_* are the SDK's own settings.
"""

import threading
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

_NOWHERE = Context()
_KINDS = {kind.name.lower(): kind for kind in SpanKind}


class Recorder:
    """Builds the spans of one process and hands them to the exporter, in batches and on a thread of its own."""

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        self._ids = _Ids()
        resource = Resource.create({"service.name": service})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(PLATFORM)
        self._parent_decides = isinstance(self._provider.sampler, ParentBased)
        self.flush, self.shutdown = self._provider.force_flush, self._provider.shutdown

    def continued(self, parent: str, name: str, kind: Kind, attributes: Attributes | None) -> Span:
        """Work on behalf of a valid traceparent, or "". Whether it is sampled is decided before anything is built."""
        if not parent:
            ids = clock.entropy(24).hex()
            self._ids.trace = int(ids[:32], 16)
            judged = self._provider.sampler.should_sample(_NOWHERE, self._ids.trace, name)
            if judged.decision is not Decision.RECORD_AND_SAMPLE:
                return Span(f"00-{ids[:32]}-{ids[32:]}-00")
            return self.begun(_NOWHERE, name, kind, attributes)
        flags = int(parent[53:], 16)
        if self._parent_decides and not flags & TraceFlags.SAMPLED:
            return Span(parent)
        remote = SpanContext(int(parent[3:35], 16), int(parent[36:52], 16), True, TraceFlags(flags))
        return self.begun(set_span_in_context(NonRecordingSpan(remote), _NOWHERE), name, kind, attributes)

    def begun(self, within: Context, name: str, kind: Kind, attributes: Attributes | None) -> Span:
        """A span that has begun; one that the sampler drops carries ids alone."""
        span = self._tracer.start_span(name, within, _KINDS[kind], attributes)
        context = span.get_span_context()
        traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return Recorded(traceparent, span, self) if span.is_recording() else Span(traceparent)


class Recorded(Span):
    """Work that is recorded."""

    __slots__ = ("_recorder", "_span")

    def __init__(self, traceparent: str, span: OtelSpan, recorder: Recorder) -> None:
        super().__init__(traceparent)
        self._span, self._recorder = span, recorder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, stack)
        self.end(error)

    def child(self, name: str, kind: Kind, attributes: Attributes | None) -> Span:
        part = self._recorder.begun(set_span_in_context(self._span, _NOWHERE), name, kind, attributes)
        part.ids = self.ids
        return part

    def set(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)

    def event(self, name: str, attributes: Attributes) -> None:
        self._span.add_event(name, attributes)

    def served(self, method: str, route: str, status: int) -> None:
        known = method if method in METHODS else "HTTP"
        self._span.update_name(f"{known} {route}" if route else known)
        self._span.set_attribute("http.request.method", known if known == method else "_OTHER")
        if route:
            self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self.failed(str(status))

    def failed(self, error: str) -> None:
        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute("error.type", error)

    def end(self, error: BaseException | None = None) -> None:
        # A refusal is an answer. Of an error only the type is told: its text may hold personal data.
        if error is not None and not isinstance(error, DomainError):
            self.failed(type(error).__qualname__)
        self._span.end()


class _Ids(IdGenerator, threading.local):
    """Ids from this process's clock. Each thread draws that of a new trace first, for the sampler to judge."""

    trace = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return int.from_bytes(clock.entropy(8), "big")


def exporting(service: str) -> Recorder:
    """The recorder of this process, exporting until the process ends."""
    recorder = Recorder(service, OTLPSpanExporter())
    otlp.until_the_end(recorder.shutdown)
    return recorder
