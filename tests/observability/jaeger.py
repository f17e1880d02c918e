"""Jaeger (all-in-one) on loopback: it receives traces by OTLP over HTTP and returns them by its API.

with Jaeger(folder) as jaeger:
    shop = Shop(folder, OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.url).up()
    eventually(lambda: jaeger.trace(id))
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from tests.system.running import eventually, free_port

BINARY = shutil.which("jaeger-all-in-one")
_PORTS = ("collector.otlp.grpc", "collector.otlp.http", "collector.grpc-server", "collector.http-server")
_PORTS += ("query.http-server", "query.grpc-server", "admin.http")


@dataclass(frozen=True)
class Span:
    """As Jaeger shows it; `parent` is "" at the root, `kind` one of server, client, producer, ..."""

    id: str
    parent: str
    service: str
    name: str
    kind: str
    tags: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.service}: {self.name}"


class Jaeger:
    """A Jaeger that keeps traces in memory; `url` is its OTLP endpoint."""

    def __init__(self, folder: Path) -> None:
        self._ports = {name: free_port() for name in _PORTS}
        self.url = f"http://127.0.0.1:{self._ports['collector.otlp.http']}"
        self._api = f"http://127.0.0.1:{self._ports['query.http-server']}/api"
        self._log = folder / "jaeger.log"

    def __enter__(self) -> Self:
        assert BINARY is not None
        flags = [f"--{name}.host-port=127.0.0.1:{port}" for name, port in self._ports.items()]
        with self._log.open("ab") as log:
            # Its own spans would go where nobody listens: it waits for those ten seconds at its end, and again ten.
            own = os.environ | {"OTEL_TRACES_SAMPLER": "always_off"}
            self._process = subprocess.Popen([BINARY, *flags], env=own, stdout=log, stderr=log)
        eventually(self._up)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)

    def trace(self, id: str) -> list[Span]:
        """Return the spans of one trace received so far."""
        answer = requests.get(f"{self._api}/traces/{id}", timeout=10)
        return _spans(answer.json()["data"][0]) if answer.ok else []

    def everything(self) -> str:
        """Return all traces as text."""
        services = requests.get(f"{self._api}/services", timeout=10).json()["data"]
        asked = ({"service": service, "limit": "2000", "lookback": "1h"} for service in services)
        return "\n".join(requests.get(f"{self._api}/traces", params=each, timeout=30).text for each in asked)

    def _up(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return requests.get(f"{self._api}/services", timeout=1).ok
        except requests.RequestException:
            return False


def _spans(trace: dict[str, Any]) -> list[Span]:
    services = {id: process["serviceName"] for id, process in trace["processes"].items()}
    found = []
    for span in trace["spans"]:
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        parents = [reference["spanID"] for reference in span["references"] if reference["refType"] == "CHILD_OF"]
        parent, service = "".join(parents), services[span["processID"]]
        found.append(Span(span["spanID"], parent, service, span["operationName"], tags.get("span.kind", ""), tags))
    return found


def paths(spans: list[Span]) -> dict[str, tuple[str, ...]]:
    """Return span id -> the path from its root, or from below a missing parent."""
    by_id = {span.id: span for span in spans}

    def path(span: Span) -> tuple[str, ...]:
        above = by_id.get(span.parent)
        return (*(path(above) if above else ()), str(span))

    return {span.id: path(span) for span in spans}
