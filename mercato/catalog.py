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


def owner(path: str) -> tuple[str, str]:
    """Return the longest route of whole segments that this raw path begins with, and its service, or "" for both."""
    longest, found = "", ""
    for entry in catalog().values():
        for route in entry.routes:
            prefix = route.rstrip("/")
            if len(route) > len(longest) and (path == prefix or path.startswith(prefix + "/")):
                longest, found = route, entry.name
    return longest, found
