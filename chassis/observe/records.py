"""Log lines as opentelemetry-sdk's records, exported by OTLP over HTTP; imported only where that was asked for.

OTEL_BLRP_*, OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_* are the SDK's own settings.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from chassis.observe import otlp

Export = Callable[[Mapping[str, Any], str], None]
"""Takes a line, as it is written, and its traceparent."""


def exporting(service: str, exporter: LogRecordExporter | None = None) -> Export:
    """What takes each line of this process, until it ends; batches leave on a thread of their own."""
    provider = LoggerProvider(Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter or OTLPLogExporter()))
    logger = provider.get_logger("mercato")
    otlp.until_the_end(provider.shutdown)

    def export(line: Mapping[str, Any], traceparent: str) -> None:
        fields = {name: line[name] for name in line if name not in _ELSEWHERE}
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                context=_within(traceparent),
                severity_text=line["level"],
                severity_number=_SEVERITY[line["level"]],
                body=line["message"],
                attributes={name: value if isinstance(value, _PLAIN) else str(value) for name, value in fields.items()},
            )
        )

    return export


_ELSEWHERE = {"time", "level", "message", "traceId"}
_PLAIN = (str, bool, int, float)
_SEVERITY = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
}


def _within(traceparent: str) -> Context:
    if not traceparent:
        return Context()
    trace, span, flags = int(traceparent[3:35], 16), int(traceparent[36:52], 16), int(traceparent[53:], 16)
    return set_span_in_context(NonRecordingSpan(SpanContext(trace, span, False, TraceFlags(flags))), Context())
