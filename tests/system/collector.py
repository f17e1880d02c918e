"""A stub of an OpenTelemetry collector: it receives OTLP over HTTP on loopback, and tests read what was exported.

with Collector() as collector:
    shop = Shop(folder, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url).up()
    eventually(lambda: collector.trace(id))
"""

import gzip
import re
import threading
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Exported
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Span:
    """One span; ids are in hex, `parent` is "" at the root, `kind` one of SERVER, CLIENT, PRODUCER, ..."""

    trace: str
    id: str
    parent: str
    service: str
    kind: str
    name: str
    failed: bool
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One log line; `trace` is in hex, "" outside any trace."""

    trace: str
    service: str
    severity: int
    message: str
    fields: dict[str, Any]


class Collector:
    """Listens on its own port inside `with`; `raw` holds all traces that it received, uncompressed."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.lines: list[Line] = []
        self.raw = b""
        self._lock = threading.Lock()
        self._server = self._listen(0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def reopen(self) -> None:
        """Listen again on the same port."""
        self._server = self._listen(self._server.server_port)

    def trace(self, id: str) -> list[Span]:
        """Return the spans of one trace received so far."""
        with self._lock:
            return [span for span in self.spans if span.trace == id]

    def take_lines(self, body: bytes) -> None:
        request = json_format.Parse(_ids_in_base64(body), ExportLogsServiceRequest())  # rejects unknown fields
        with self._lock:
            for resource in request.resource_logs:
                service = str(_fields(resource.resource.attributes)["service.name"])
                for scope in resource.scope_logs:
                    self.lines += [
                        Line(
                            each.trace_id.hex(),
                            service,
                            each.severity_number,
                            each.body.string_value,
                            _fields(each.attributes),
                        )
                        for each in scope.log_records
                    ]

    def take_spans(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self.raw += body
            for resource in request.resource_spans:
                service = str(_fields(resource.resource.attributes)["service.name"])
                for scope in resource.scope_spans:
                    self.spans += [_read(span, service) for span in scope.spans]

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", port), _handler(self))
        threading.Thread(target=server.serve_forever, args=(0.05,), name="collector", daemon=True).start()
        return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            kind = self.headers["Content-Type"]
            if self.path == "/v1/logs":
                assert kind == "application/json"
                collector.take_lines(body)
                answer = b"{}"
            else:
                assert (self.path, kind) == ("/v1/traces", "application/x-protobuf")
                collector.take_spans(body)
                answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Log no requests."""

    return Handler


def _read(span: Exported, service: str) -> Span:
    return Span(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        service=service,
        kind=Exported.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        name=span.name,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_fields(span.attributes),
    )


def _ids_in_base64(body: bytes) -> bytes:
    """Convert ids from hex, as in OTLP, to base64, as in the JSON of protobuf."""
    return re.sub(
        rb'("(?:trace|span)Id":)"([0-9a-f]*)"',
        lambda id: b'%b"%b"' % (id[1], b64encode(bytes.fromhex(id[2].decode()))),
        body,
    )


def _fields(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in attributes}
