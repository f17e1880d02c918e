"""Overhead of telemetry: one read of a service with metrics, traces and log, and of one without."""

import multiprocessing
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from tests.bench.http import measure_in_turn

_TRACES = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


def run(short: bool) -> list[dict[str, Any]]:
    """Return the medians of the ratios over many restarts."""
    with _collector() as url:
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, **_TRACES}
        servers = {
            "none": ("without_telemetry", {"LOG_LEVEL": "error"}),
            "full": ("full", traces),
            "otlp": ("full", {"OTEL_LOGS_EXPORTER": "otlp", **traces}),
        }
        found = measure_in_turn(servers, short)
    ratio, otlp_ratio = (
        statistics.median(one / other for one, other in zip(found[name], found["none"], strict=True))
        for name in ("full", "otlp")
    )
    bar = {"unit": "", "bar": ">= 0.9"}
    return [
        {"name": "read, no telemetry", "value": statistics.median(found["none"]), "unit": "requests/s"},
        {"name": "with metrics, traces at 1 %, log", "value": ratio, "ok": ratio >= 0.9, **bar},
        {"name": "the same, log lines by OTLP", "value": otlp_ratio, "ok": otlp_ratio >= 0.9, **bar},
    ]


@contextmanager
def _collector() -> Iterator[str]:
    """Run a collector that accepts everything, in a process of its own like a real one; yield its URL."""
    spawn = multiprocessing.get_context("spawn")
    own, other = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(other,))
    process.start()
    try:
        yield f"http://127.0.0.1:{own.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    pipe.send(server.server_port)
    server.serve_forever()


class _Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # persistent connections, as a collector has them

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""
