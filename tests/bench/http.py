"""Overhead of the chassis: one read through it and through a bare Flask route, both on stock gunicorn."""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from chassis.store.format import check_format
from chassis.store.sqlite.store import SqliteStore
from mercato.local.probes import is_ready
from services.products.repository import products
from tests.bench.load import rate
from tests.system.running import ROOT, eventually, free_port

_TURNS, _REQUESTS = 8, 250
_PATH = "/api/products/p1"
_DOC = {
    "_id": "p1",
    "name": "Kettle",
    "description": "Boils a liter of water in two minutes.",
    "price": 2999,
    "currency": "EUR",
    "category": "kitchen",
    "words": ["kettle"],
    "nameKey": "kettle",
    "isPublished": True,
    "stock": 12,
    "deleted": False,
    "version": 1,
    "dedupKey": "",
    "createdAt": "2026-01-31T12:00:00.000Z",
    "updatedAt": "2026-01-31T12:00:00.000Z",
    "pending": 0,
    "slot": 0,
}


def run(short: bool) -> list[dict[str, Any]]:
    """Return the median of the ratios over many restarts."""
    found = measure_in_turn({"full": ("full", {}), "bare": ("bare", {})}, short)
    ratio = statistics.median(full / bare for full, bare in zip(found["full"], found["bare"], strict=True))
    return [
        {"name": "read, whole chassis", "value": statistics.median(found["full"]), "unit": "requests/s"},
        {"name": "read, bare Flask", "value": statistics.median(found["bare"]), "unit": "requests/s"},
        {"name": "whole chassis / bare Flask", "value": ratio, "unit": "", "bar": ">= 0.9", "ok": ratio >= 0.9},
    ]


def measure_in_turn(servers: dict[str, tuple[str, dict[str, str]]], short: bool) -> dict[str, list[float]]:
    """Return the requests/s of each server (app, settings), one figure per restart.

    Two processes of the same code differ by some percent while they live, and the machine from second to second.
    """
    found: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(9 if short else 22):
        with data_dir_with_product() as folder, ExitStack() as running:
            ports = {
                name: running.enter_context(serving(app, folder, **settings))
                for name, (app, settings) in servers.items()
            }
            for port in ports.values():
                rate(port, _PATH, 1000)
            seconds = dict.fromkeys(ports, 0.0)
            for _ in range(_TURNS):
                for name, port in ports.items():
                    seconds[name] += _REQUESTS / rate(port, _PATH, _REQUESTS)
            for name, took in seconds.items():
                found[name].append(_TURNS * _REQUESTS / took)
    return found


@contextmanager
def data_dir_with_product() -> Iterator[Path]:
    """Yield a DATA_DIR with one product."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "store").mkdir()
        store = SqliteStore(Path(folder) / "store" / "products.db")
        check_format(store)
        products.attach(store).ensure_indexes()
        products.insert(dict(_DOC))
        store.close()
        yield Path(folder)


@contextmanager
def serving(app: str, folder: Path, **settings: str) -> Iterator[int]:
    """Run one of `apps` on stock gunicorn with these settings; yield its port."""
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
        eventually(lambda: is_ready(port, 0))
        yield port
    finally:
        server.terminate()
        server.wait(30)
