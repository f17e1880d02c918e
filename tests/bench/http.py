"""Overhead of the chassis and its telemetry: one read through it and through a bare Flask route, on stock gunicorn."""

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from chassis.money import Money
from chassis.store.format import check_format
from chassis.store.sqlite.store import SqliteStore
from mercato.local.probes import is_ready
from services.products.documents import new_product
from services.products.domain import Details
from services.products.repository import products
from tests.bench.load import rate
from tests.system.running import ROOT, eventually, free_port

_TURNS, _REQUESTS = 8, 250
_RESTARTS, _FEW_RESTARTS = 22, 6
_MIN_RATIO = 0.9
_RATIOS = {
    "whole chassis / bare Flask": ("whole chassis", "bare Flask"),
    "metrics, traces at 1 %, log / no telemetry": ("with traces", "no telemetry"),
    "the same, log lines by OTLP / no telemetry": ("with traces, log by OTLP", "no telemetry"),
}
_PATH = "/api/products/p1"
_TRACES = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
_DETAILS = Details("Kettle", "Boils a liter of water in two minutes.", "kitchen")


def run(short: bool) -> list[dict[str, Any]]:
    """Return the medians of the ratios over many restarts; in the short form over few, and many for a missed one."""
    with _collector() as url:
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, **_TRACES}
        servers = {
            "bare Flask": ("bare", {}),
            "no telemetry": ("without_telemetry", {"LOG_LEVEL": "error"}),
            "whole chassis": ("full", {}),
            "with traces": ("full", traces),
            "with traces, log by OTLP": ("full", {"OTEL_LOGS_EXPORTER": "otlp", **traces}),
        }
        found = _measure_in_turn(servers, _FEW_RESTARTS if short else _RESTARTS)
        if short and (missed := [row["name"] for row in _ratios(found) if not row["ok"]]):
            again = {name: servers[name] for ratio in missed for name in _RATIOS[ratio]}
            found += _measure_in_turn(again, _RESTARTS - _FEW_RESTARTS)
    rates = {name: [each[name] for each in found if name in each] for name in servers}
    medians = {f"read, {name}": statistics.median(values) for name, values in rates.items()}
    return [*({"name": name, "value": each, "unit": "requests/s"} for name, each in medians.items()), *_ratios(found)]


def _ratios(found: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Return a row for the median of each ratio; `full` tells that its servers were started as often as in full."""
    rows = []
    for name, (one, other) in _RATIOS.items():
        values = [each[one] / each[other] for each in found if {one, other} <= each.keys()]
        value = statistics.median(values)
        row = {"name": name, "value": value, "unit": "", "bar": f">= {_MIN_RATIO}", "ok": value >= _MIN_RATIO}
        rows.append(row | {"full": len(values) >= _RESTARTS})
    return rows


def _measure_in_turn(servers: dict[str, tuple[str, dict[str, str]]], restarts: int) -> list[dict[str, float]]:
    """Return the requests/s of each server (app, settings), for each restart.

    Two processes of the same code differ by some percent while they live, and the machine from second to second. Each
    turn begins with another server: what the one before leaves to the next is shared evenly.
    """
    found = []
    for _ in range(restarts):
        with data_dir_with_product() as folder, ExitStack() as running:
            ports = {
                name: running.enter_context(_serving(app, folder, settings))
                for name, (app, settings) in servers.items()
            }
            for port in ports.values():
                eventually(lambda port=port: is_ready(port, 0))
            for port in ports.values():
                rate(port, _PATH, 1000)
            seconds, order = dict.fromkeys(ports, 0.0), deque(ports)
            for _ in range(_TURNS):
                for name in order:
                    seconds[name] += _REQUESTS / rate(ports[name], _PATH, _REQUESTS)
                order.rotate()
            found.append({name: _TURNS * _REQUESTS / took for name, took in seconds.items()})
    return found


@contextmanager
def data_dir_with_product() -> Iterator[Path]:
    """Yield a DATA_DIR with one product."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "store").mkdir()
        store = SqliteStore(Path(folder) / "store" / "products.db")
        check_format(store)
        products.attach(store).ensure_indexes()
        products.insert({**new_product("p1", _DETAILS, Money(2999, "EUR"), stock=12), "pending": 0})
        store.close()
        yield Path(folder)


@contextmanager
def _serving(app: str, folder: Path, settings: dict[str, str]) -> Iterator[int]:
    """Start one of `apps` on stock gunicorn with these settings; yield its port, which may not be ready yet."""
    port, health_port = free_port(), free_port()
    environment = {
        "DATA_DIR": str(folder),
        "HOST": "127.0.0.1",
        "HEALTH_PORT": str(health_port),
        "PLATFORM_SECRET": "b" * 32,
        "RATE_READ": "1000000/second",  # counted but never reached
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "16", "--keep-alive", "75"]
    command += ["--no-control-socket", "-b", f"127.0.0.1:{port}", f"tests.bench.apps:{app}()"]
    with (folder / f"{app}.log").open("ab") as log:
        server = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
    try:
        yield port
    finally:
        server.terminate()
        server.wait(30)


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
