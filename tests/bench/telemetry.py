"""The price of telemetry: one read of a service that is measured, traced and logged, and of one that tells nothing."""

import multiprocessing
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from tests.bench.http import in_turn

_TRACES = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


def run(short: bool) -> list[dict[str, Any]]:
    """The medians of the ratios of many starts."""
    with _sink() as url:
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, **_TRACES}
        servers = {
            "none": ("untold", {"LOG_LEVEL": "error"}),
            "full": ("full", traces),
            "sent": ("full", {"OTEL_LOGS_EXPORTER": "otlp", **traces}),
        }
        found = in_turn(servers, short)
    ratio, with_lines = (
        statistics.median(one / other for one, other in zip(found[name], found["none"], strict=True))
        for name in ("full", "sent")
    )
    bar = {"unit": "", "bar": ">= 0.9"}
    return [
        {"name": "read, no telemetry", "value": statistics.median(found["none"]), "unit": "requests/s"},
        {"name": "with metrics, traces at 1 %, log", "value": ratio, "ok": ratio >= 0.9, **bar},
        {"name": "and each line by OTLP, too", "value": with_lines, "ok": with_lines >= 0.9, **bar},
    ]


@contextmanager
def _sink() -> Iterator[str]:
    """Takes whatever it is sent; a process, as a collector is, or the load would wait for it."""
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{mine.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    pipe.send(server.server_port)
    server.serve_forever()


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as a collector keeps them

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """It is not asked."""
