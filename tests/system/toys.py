"""Two toy services, to test the launcher and the router without the real ones."""

from pathlib import Path

from tests.system.running import ROOT, Platform

VALUES = """
services:
  shop: {routes: [/api/shop, /api/people/of/shop], worker: true, calls: [people]}
  people: {routes: [/api/people], exact: [/, /people.txt], worker: false, calls: []}
"""

TOY = """
import json, os, signal, sys, threading, time

from chassis.observe.health import Health
from chassis.settings import settings


class Service:
    def __init__(self, name):
        self.name = name

    def application(self):
        self.open()
        return self.echo

    def echo(self, environ, start):
        body = environ["wsgi.input"].read()
        path, _, query = environ["RAW_URI"].partition("?")
        if path.endswith("/slow"):
            open(os.path.join(os.environ["DATA_DIR"], "slow"), "w").close()
            time.sleep(float(query))
        if path.endswith("/die"):
            os.kill(os.getpid(), signal.SIGKILL)
        echo = {
            "service": self.name,
            "pid": os.getpid(),
            "target": environ["RAW_URI"],
            "method": environ["REQUEST_METHOD"],
            "body": body.decode("latin-1")[:100],
            "size": len(body),
            "headers": {k: v for k, v in environ.items() if k.startswith("HTTP_") or k == "CONTENT_TYPE"},
            "environment": dict(os.environ),
        }
        body = json.dumps(echo).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body))),
                         ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [body]

    def drain(self):
        self.health.draining = True

    def worker(self):
        self.open()
        if os.environ.get("STUBBORN"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        done = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: done.set())
        while not done.wait(0.1):
            if os.path.exists(os.path.join(os.environ["DATA_DIR"], "crash")):
                sys.exit("the toy crashed")

    def open(self):
        self.health = Health(self.name, lambda: None)
        self.health.serve(settings().host, settings().health_port)
        self.health.started = True
"""


def platform(folder: Path, **environment: str | None) -> Platform:
    """Return a platform of the toys, not yet started."""
    toys = folder / "toys"
    for name in ("shop", "people"):
        package = toys / "services" / name
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "service.py").write_text(f'from toy import Service\n\nservice = Service("{name}")\n')
    (toys / "services" / "__init__.py").touch()
    (toys / "toy.py").write_text(TOY)
    (toys / "values.yaml").write_text(VALUES)
    found = {"MERCATO_VALUES": str(toys / "values.yaml"), "PYTHONPATH": f"{toys}:{ROOT}"}
    return Platform(folder, **(found | environment))
