"""Small apps on the platform's web server, to measure against: `python -m tests.bench.toy bare|waits`.

`bare` is an empty Flask route. `waits` is a service of the chassis whose every response takes 50 ms.
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

WAIT_S = 0.05
"""Duration of the handler of `waits`."""

api = Api()


class Nothing(Schema):
    """An empty response."""


@api.get("/api/toy", auth=ANYONE, responses={200: Nothing})
def wait() -> Nothing:
    clock.sleep(WAIT_S)
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
    """Run an app; yield its port and the pid of its process group leader."""
    port, health_port = free_port(), free_port()
    defaults = {
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
            env=os.environ | defaults | environment,
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
