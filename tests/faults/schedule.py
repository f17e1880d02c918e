"""The faults of a chaos run and their order, made from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from mercato.catalog import catalog

ENGINES = ("mongodb", "kafka")
LEASE_S = 2.0
PAUSE_S = 1.75 * LEASE_S
OUTAGE_S = 3.0
DRIP_S = 12.0
PULSES_S = 4.0
MAX_PAUSE_BEFORE_S = 0.5
_T = TypeVar("_T")


@dataclass(frozen=True)
class Fault:
    """One fault of one process or service.

    `kind` is worker, web (the process that responds), master (its parent), or engine. The fault lasts `duration_s`, if
    it has a duration, and follows the previous one after `pause_before_s`.
    """

    what: str
    name: str
    kind: str = ""
    duration_s: float = 0.0
    pause_before_s: float = 0.0

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.name, self.kind) if part)


def schedule(seed: int, rounds: int, real: bool, share: float = 1.0) -> list[Fault]:
    """Return the faults of so many rounds.

    Args:
        real: break the engines, too, instead of filling the disk.
        share: of the targets of each kind of fault that a round hits, at least one.
    """
    random = Random(seed)
    faults = []
    for _ in range(rounds):
        turn = _round(random, real, share)
        random.shuffle(turn)
        faults += [replace(each, pause_before_s=random.uniform(0.0, MAX_PAUSE_BEFORE_S)) for each in turn]
    return faults


def _round(random: Random, real: bool, share: float) -> list[Fault]:
    def some(targets: Sequence[_T]) -> Sequence[_T]:
        return targets if share >= 1.0 else random.sample(targets, max(1, round(len(targets) * share)))

    names = list(catalog())
    workers = [entry.name for entry in catalog().values() if entry.worker]
    kills = [("web", names), ("master", names), ("worker", workers)]
    pauses = [("web", names), ("worker", workers)]
    return [
        *(Fault("kill", name, kind) for kind, targets in kills for name in some(targets)),
        Fault("kill", "router"),
        *(Fault("pause", name, kind, PAUSE_S) for kind, targets in pauses for name in some(targets)),
        *([] if real else [Fault("fill", name, duration_s=OUTAGE_S) for name in some(workers)]),
        *(Fault(what, engine, "engine", OUTAGE_S) for what in ("kill", "pause") for engine in ENGINES if real),
        *(Fault("pulse", name, duration_s=PULSES_S) for name in random.sample(workers, 2)),
        Fault("drip", "router", duration_s=DRIP_S),
        Fault("poison", "notifications"),
    ]
