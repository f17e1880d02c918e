"""The services of the platform, as the chart's values list them: the one list that everything else reads."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent.parent / "charts" / "mercato" / "values.yaml"


@dataclass(frozen=True)
class Entry:
    """One service: the public path prefixes it serves, whether it has a worker, and whom it calls."""

    name: str
    routes: tuple[str, ...]
    worker: bool
    calls: tuple[str, ...]


@cache
def catalog() -> dict[str, Entry]:
    """Name -> entry. Read from the file in `MERCATO_VALUES`, or from the chart beside the code."""
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


def callers(name: str) -> list[str]:
    """The services that call this one."""
    return [entry.name for entry in catalog().values() if name in entry.calls]


def owner(path: str) -> str | None:
    """The service whose longest prefix the raw path is under, or None; a prefix ends where a segment ends."""
    longest, found = 0, None
    for entry in catalog().values():
        for route in entry.routes:
            prefix = route.rstrip("/")
            if len(route) > longest and (path == prefix or path.startswith(prefix + "/")):
                longest, found = len(route), entry.name
    return found
