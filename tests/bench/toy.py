"""Small servers to measure by, on the web server of the platform: `python -m tests.bench.toy bare|waits`.

`bare` is a Flask route that does nothing. `waits` is a service of the chassis whose every answer takes 50 ms.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask

from chassis import clock
from chassis.schema import Schema
from chassis.service import Service
from chassis.settings import settings
from chassis.web.api import ANYONE, Api
from chassis.web.server import serve
from mercato.local.probes import is_ready
from tests.system.running import ROOT, eventually, free_port

WAIT = 0.05
"""Seconds that the handler of `waits` takes."""

api = Api()


class Nothing(Schema):
    """An empty answer."""


@api.get("/api/toy", auth=ANYONE, responses={200: Nothing})
def wait() -> Nothing:
    clock.sleep(WAIT)
    return Nothing()


def waits() -> Any:
    service = Service("toy")
    service.serves(api)
    return service.application()


def bare() -> Any:
    app = Flask("bare")

    @app.post("/")
    def nothing() -> dict[str, Any]:
        return {}

    return app


@contextmanager
def serving(app: str, folder: Path, **environment: str) -> Iterator[tuple[int, int]]:
    """The port of a server of `app`, and the pid that leads its processes."""
    port, health_port = free_port(), free_port()
    told = {
        "DATA_DIR": str(folder),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "HEALTH_PORT": str(health_port),
        "PLATFORM_SECRET": "s" * 32,
        "RATE_LIMITS": "off",
        "PYTHONPATH": str(ROOT),
    }
    (folder / "store").mkdir(exist_ok=True)
    with (folder / f"{app}.log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.toy", app],
            env=os.environ | told | environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        eventually(lambda: is_ready(port, 0))
        yield port, server.pid
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


if __name__ == "__main__":
    serve({"bare": bare, "waits": waits}[sys.argv[1]], settings().threads)
