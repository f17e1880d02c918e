"""Probes of a process: is it ready, and if not, why; and what its metrics say."""

import http.client
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson
from prometheus_client.parser import text_string_to_metric_families

from chassis.settings import PLATFORM
from mercato.local.ports import HOST

READY, NO_ANSWER = "ready", "no answer"

_METRICS = (
    "circuit_breaker_state",
    "consumer_lag",
    "dead_letters",
    "saga_blocked",
    "saga_oldest_age_seconds",
    "saga_open",
    "set_aside",
)
_PREFIXES = tuple(f"{PLATFORM}_{name}" for name in _METRICS)

Sample = tuple[dict[str, str], float]
"""(labels, value)"""


@dataclass(frozen=True)
class Probe:
    """What a process answered: its state, READY or why it is not, and the samples of some gauges by their name."""

    state: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)


def probe(port: int, health_port: int, timeout_s: float) -> Probe:
    """Ask a process, or the router, for its state and its metrics."""
    status, body = _get(health_port or port, "/readyz", timeout_s)
    if not status:
        return Probe(NO_ANSWER)
    if not health_port:  # the router, which has no readiness of its own
        return Probe(READY)
    _, text = _get(health_port, "/metrics", timeout_s)
    return Probe(READY if status == 200 else _reason(body), _samples(text))


def is_ready(port: int, health_port: int, timeout_s: float = 2.0) -> bool:
    """Return whether a service's health port answers that it is ready, or the router's port answers at all."""
    status, _ = _get(health_port or port, "/readyz", timeout_s)
    return status == 200 or (status > 0 and not health_port)


def _reason(body: str) -> str:
    """Return why a process is not ready, as its health says it."""
    try:
        return str(orjson.loads(body)["status"])
    except (ValueError, KeyError, TypeError):
        return "not ready"


def _samples(text: str) -> dict[str, list[Sample]]:
    """Return the samples of the gauges in `_METRICS`; the parser is slow, and gets only their lines."""
    wanted = "\n".join(line for line in text.splitlines() if line.startswith(_PREFIXES)) + "\n"
    found: dict[str, list[Sample]] = {name: [] for name in _METRICS}
    for name, sample in _parsed(wanted):
        if name in found:
            found[name].append(sample)
    return found


def _parsed(text: str) -> Iterator[tuple[str, Sample]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name.removeprefix(f"{PLATFORM}_"), (sample.labels, sample.value)


def _get(port: int, path: str, timeout_s: float) -> tuple[int, str]:
    """Return (status, body), or (0, "") if nothing answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
