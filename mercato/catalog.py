"""The services of the platform, read from the values of the chart: the only list of services."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent.parent / "charts" / "mercato" / "values.yaml"


@dataclass(frozen=True)
class Entry:
    """One service: its public path prefixes, whether it has a worker, and the services that it calls."""

    name: str
    routes: tuple[str, ...]
    worker: bool
    calls: tuple[str, ...]


@cache
def catalog() -> dict[str, Entry]:
    """Return name -> entry, read from the file in `MERCATO_VALUES`, or from the chart beside the code."""
    path = Path(os.environ.get("MERCATO_VALUES") or CHART)
    services = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
    return {
        name: Entry(
            name,
            routes=tuple(entry.get("routes", ())),
            worker=bool(entry.get("worker")),
            calls=tuple(entry.get("calls", ())),
        )
        for name, entry in services.items()
    }


def owner(path: str) -> str | None:
    """Return the service with the longest prefix of this raw path, or None; a prefix consists of whole segments."""
    longest, found = 0, None
    for entry in catalog().values():
        for route in entry.routes:
            prefix = route.rstrip("/")
            if len(route) > longest and (path == prefix or path.startswith(prefix + "/")):
                longest, found = len(route), entry.name
    return found
