"""The report of the platform that runs on this machine: each process with its state, and what needs an operator.

A process that a signal has stopped is known at once. For what a stopped process may hold up, the report waits
STOPPED_S; for everything else PATIENCE_S, which a busy machine may need.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from chassis.settings import Settings
from chassis.store import StoreUnavailable
from chassis.store.engines import open_store
from chassis.store.format import check_format
from chassis.store.writable import try_write
from mercato.local.patience import ask_all
from mercato.local.pids import stopped_groups
from mercato.local.probes import NO_ANSWER, READY, Probe, probe
from mercato.local.running_platform import find_run, is_running, store_settings

PATIENCE_S = 3.0
STOPPED_S = 0.3
OLD_SAGA_S = 300.0
"""Age from which a saga is old: that of the alert SagaOld."""

STOPPED, DEAD = "stopped by a signal", "dead"
_BREAKER_STATES = {1.0: "half-open", 2.0: "open"}

Row = dict[str, Any]
Answers = list[tuple[Row, Probe]]
"""Each process with its probe."""


def report(data_dir: Path) -> Row | None:
    """Return `run.json`, completed with how everything is now, or None if nothing runs.

    Raises: SystemExit with one line if the folder holds data of another version.
    """
    run = find_run(data_dir)
    if run is None:
        return None
    stopped, own = stopped_groups(), store_settings()
    held_up = {process["name"] for process in run["processes"] if process["pid"] in stopped}
    services = dict.fromkeys(process["name"] for process in run["processes"] if process["kind"] != "router")

    def patience_s(key: tuple[str, int]) -> float:
        return STOPPED_S if key[0] in held_up else PATIENCE_S

    keys = [(process["name"], number) for number, process in enumerate(run["processes"])]
    questions: dict[tuple[str, int], Callable[[], Probe]] = {
        key: partial(_probe, process, stopped) for key, process in zip(keys, run["processes"], strict=True)
    }
    questions |= {(name, -1): partial(_try_write, own, name) for name in services}
    answers = ask_all(questions, patience_s)
    found = [answers.get(key, Probe(NO_ANSWER)) for key in keys]
    asked: Answers = list(zip(run["processes"], found, strict=True))
    writes = {name: answers.get((name, -1), Probe(f"no answer within {patience_s((name, -1))} s")) for name in services}
    engines, is_complete = run.pop("engines"), run["ready"]
    return run | {
        "ready": is_complete and all(each.state == READY for each in (*found, *writes.values())),
        "complete": is_complete,
        "launcher": STOPPED if run["pid"] in stopped else READY,
        "store": "mongodb" if "MONGODB_URI" in engines else "sqlite",
        "bus": "kafka" if "KAFKA_BOOTSTRAP_SERVERS" in engines else "sqlite",
        "processes": [process | _state(process, found) for process, found in asked],
        "writes": {name: each.state for name, each in writes.items()},
        "breakers": list(_breakers(asked)),
        "sagas": list(_sagas(asked)),
        "deadLetters": _sums(asked, "dead_letters"),
        "setAside": _sums(asked, "set_aside"),
        "unknown": list(dict.fromkeys(_silent(asked))),
    }


def _probe(process: Row, stopped: set[int]) -> Probe:
    if not is_running(process):
        return Probe(DEAD)
    if process["pid"] in stopped:
        return Probe(STOPPED)
    return probe(process["port"], process["health_port"], PATIENCE_S)


def _try_write(own: Settings, service: str) -> Probe:
    """Write to the store of a service, as its processes do; the state is READY, or what keeps them from it."""
    store = open_store(own, service)
    try:
        check_format(store, own.prefix, own.installation)
        try_write(store)
    except StoreUnavailable as error:
        return Probe(f"store takes no write: {error}")
    except SystemExit as error:  # it belongs to another platform
        return Probe(str(error.code))
    finally:
        store.close()
    return Probe(READY)


def _state(process: Row, found: Probe) -> Row:
    lag = found.samples.get("consumer_lag", [])
    is_known = process["kind"] == "worker" and lag
    return {
        "ready": found.state == READY,
        "state": found.state,
        "lag": round(sum(value for _, value in lag)) if is_known else None,
    }


def _breakers(asked: Answers) -> Iterator[Row]:
    """Yield the circuit breakers that are not closed; each process has its own."""
    for process, found in asked:
        for labels, value in found.samples.get("circuit_breaker_state", ()):
            if state := _BREAKER_STATES.get(value):
                place = {name: process[name] for name in ("name", "kind", "number")}
                yield {**place, "upstream": labels["server_address"], "state": state}


def _sagas(asked: Answers) -> Iterator[Row]:
    """Yield where sagas are old or blocked, by step."""
    open_, blocked = _highest(asked, "saga_open"), _highest(asked, "saga_blocked")
    for key, age_s in _highest(asked, "saga_oldest_age_seconds").items():
        if open_.get(key) and (age_s >= OLD_SAGA_S or blocked.get(key)):
            service, labels = key
            counts = {"open": round(open_[key]), "blocked": round(blocked.get(key, 0)), "oldestS": round(age_s)}
            yield {"service": service, **dict(labels), **counts}


def _sums(asked: Answers, name: str) -> Mapping[str, int]:
    """Return service -> the sum of a gauge over its labels, where it is not 0."""
    sums: dict[str, int] = defaultdict(int)
    for (service, _), value in _highest(asked, name).items():
        sums[service] += round(value)
    return {service: value for service, value in sums.items() if value}


def _highest(asked: Answers, name: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return (service, labels) -> the highest value among its workers, each of which exports what all of them see."""
    highest: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for process, found in asked:
        if process["kind"] == "worker":
            for labels, value in found.samples.get(name, ()):
                key = process["name"], tuple(sorted(labels.items()))
                highest[key] = max(value, highest.get(key, 0.0))
    return highest


def _silent(asked: Answers) -> Iterator[str]:
    """Yield the services that have workers none of which has answered with its metrics."""
    workers = [(process["name"], found) for process, found in asked if process["kind"] == "worker"]
    answered = {name for name, found in workers if found.samples}
    yield from (name for name, _ in workers if name not in answered)
