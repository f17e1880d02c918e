"""The services of the platform, read from the values of the chart: the only list of services."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from chassis.settings import PLATFORM

CHART = Path(__file__).resolve().parent.parent / "charts" / "mercato" / "values.yaml"


@dataclass(frozen=True)
class Entry:
    """One service: its public paths, as prefixes and as exact ones, its worker, if any, and the services it calls."""

    name: str
    routes: tuple[str, ...]
    exact: tuple[str, ...]
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
            routes=_prefixes(name, entry.get("routes", ())),
            exact=tuple(entry.get("exact", ())),
            worker=bool(entry.get("worker")),
            calls=tuple(entry.get("calls", ())),
        )
        for name, entry in services.items()
    }


def processes() -> list[tuple[str, str]]:
    """Return (service, kind) of each process: a stateless service has no worker."""
    kinds = {True: ("web", "worker"), False: ("web",)}
    return [(entry.name, kind) for entry in catalog().values() for kind in kinds[entry.worker]]


def owner(path: str) -> tuple[str, str]:
    """Return the route of this raw path and its service, or "" for both.

    An exact route is the whole path. Of the others, the longest one counts whose segments the path begins with.
    """
    longest, found = "", ""
    for entry in catalog().values():
        if path in entry.exact:
            return path, entry.name
        for route in entry.routes:
            prefix = route.rstrip("/")
            if len(route) > len(longest) and (path == prefix or path.startswith(prefix + "/")):
                longest, found = route, entry.name
    return longest, found


def _prefixes(name: str, routes: list[str]) -> tuple[str, ...]:
    """Return the prefixes. Raises SystemExit for one of all paths: it would publish /internal and /metrics."""
    if any(not route.strip("/") for route in routes):
        raise SystemExit(f"{PLATFORM}: the routes of {name} have the prefix of all paths; put / under `exact`")
    return tuple(routes)
