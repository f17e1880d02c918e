"""The price of telemetry: one read of a service that is measured, traced and logged, and of one that tells nothing."""

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.bench.http import a_product, in_turn, serving

_TRACES = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


def run(short: bool) -> list[dict[str, Any]]:
    """Rounds of all three in turn; the medians of the ratios."""
    rounds, requests = (7, 2000) if short else (15, 5000)
    with a_product() as folder, _sink() as url:
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, **_TRACES}
        with (
            serving("untold", folder, LOG_LEVEL="error") as none,
            serving("full", folder, **traces) as full,
            serving("full", folder, OTEL_LOGS_EXPORTER="otlp", **traces) as sent,
        ):
            found = in_turn({"none": none, "full": full, "sent": sent}, rounds, requests)
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
    """Takes whatever it is sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """It is not asked."""
