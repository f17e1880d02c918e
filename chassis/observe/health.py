"""Health and metrics on their own port and threads: liveness never fails because all worker threads are busy."""

import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from chassis.errors import TransientError
from chassis.observe.log import log
from chassis.settings import PLATFORM

_TIMEOUT_S = 5


class Health:
    """The health of a process, which sets `started` and `draining`.

    `check` raises TransientError while the store is unavailable. `crash_looping` returns the names of the jobs that
    restart over and over: the process lives, but does not do its work.
    """

    def __init__(self, service: str, check: Callable[[], None]) -> None:
        self.service, self._check = service, check
        self.started = self.draining = False
        self.crash_looping: Callable[[], list[str]] = list

    def probe(self, path: str) -> tuple[int, str]:
        """Return (HTTP status, health) for a probe: only readiness depends on the store."""
        if path == "/livez":
            return 200, "alive"
        if path in ("/startupz", "/readyz") and not self.started:
            return 503, "starting"
        if path == "/startupz":
            return 200, "started"
        if path == "/readyz":
            if self.draining:
                return 503, "draining"
            if jobs := self.crash_looping():
                return 503, f"restarting over and over: {', '.join(jobs)}"
            try:
                self._check()
            except TransientError:
                return 503, "store unavailable"
            return 200, "ready"
        return 404, "not found"

    def serve(self, host: str, port: int) -> None:
        """Start to answer probes on this port."""
        server = (_ServerOfIpv6 if ":" in host else _Server)((host, port), _handler(self))
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Log an error, unless the client went away."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("health probe failed", error=error)


class _ServerOfIpv6(_Server):
    address_family = socket.AF_INET6


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def version_string(self) -> str:
            return PLATFORM

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                # Only OpenMetrics has exemplars, and only a client that accepts it understands them.
                encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._send(200, encoder(REGISTRY), content_type)
            else:
                status, state = health.probe(path)
                self._send(status, orjson.dumps({"status": state, "service": health.service}), "application/json")

        def _send(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log no probes."""

    return Handler
