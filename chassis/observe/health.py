"""Health and metrics on a port and a thread of their own, so that a full pool of requests never fails liveness."""

import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from chassis.errors import TransientError
from chassis.observe.log import log


class Health:
    """`started` and `draining` are set by the process; `check` raises TransientError while its own store does not answer."""

    def __init__(self, service: str, check: Callable[[], None]) -> None:
        self.service, self._check = service, check
        self.started = self.draining = False

    def answer(self, path: str) -> tuple[int, str]:
        """(status, what) for one probe: liveness looks at the process alone, readiness also at drain and store."""
        if path == "/livez":
            return 200, "alive"
        if path in ("/startupz", "/readyz") and not self.started:
            return 503, "starting"
        if path == "/startupz":
            return 200, "started"
        if path == "/readyz":
            if self.draining:
                return 503, "draining"
            try:
                self._check()
            except TransientError:
                return 503, "the store does not answer"
            return 200, "ready"
        return 404, "not found"

    def serve(self, host: str, port: int) -> None:
        """Answer on this port from now on, in threads of its own."""
        server = _Server((host, port), _handler(self))
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A probe that gives up is not worth a line; anything else is one."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("a probe could not be answered", error=error)


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                # Exemplars have a place in OpenMetrics alone, and only who asks for that understands it.
                encoded, kind = choose_encoder(self.headers.get("Accept", ""))
                self._send(200, encoded(REGISTRY), kind)
            else:
                status, what = health.answer(path)
                self._send(status, orjson.dumps({"status": what, "service": health.service}), "application/json")

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are not worth a line."""

    return Handler
