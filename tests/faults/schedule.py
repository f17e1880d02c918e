"""What a storm breaks, and in which order: made of a seed alone, so that the seed says it again."""

from dataclasses import dataclass
from random import Random

from mercato.catalog import catalog

ENGINES = ("mongodb", "kafka")
LEASE = 2.0
ASLEEP = 1.75 * LEASE
FULL = 3.0
DRIP = 12.0
PULSES = 4.0


@dataclass(frozen=True)
class Fault:
    """One thing that happens to one process or service, for so many seconds where it lasts, after so many of peace.

    `kind` is worker, web (the process that answers), master (the one that started it), or engine.
    """

    what: str
    name: str
    kind: str = ""
    lasts: float = 0.0
    peace: float = 0.0

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.name, self.kind) if part)


def schedule(seed: int, rounds: int, real: bool) -> list[Fault]:
    """Each round breaks everything once, in an order of its own; with `real`, the engines too."""
    random = Random(seed)
    faults = []
    for _ in range(rounds):
        turn = _round(random, real)
        random.shuffle(turn)
        faults += [Fault(each.what, each.name, each.kind, each.lasts, random.uniform(0.0, 0.5)) for each in turn]
    return faults


def _round(random: Random, real: bool) -> list[Fault]:
    names = list(catalog())
    workers = [(entry.name, "worker") for entry in catalog().values() if entry.worker]
    webs = [(name, "web") for name in names]
    return [
        *(Fault("kill", name, kind) for name, kind in [*webs, *((name, "master") for name in names), *workers]),
        Fault("kill", "router"),
        *(Fault("pause", name, kind, ASLEEP) for name, kind in [*webs, *workers]),
        *([] if real else [Fault("fill", name, lasts=FULL) for name in names]),
        *(Fault(what, engine, "engine", FULL) for what in ("kill", "pause") for engine in ENGINES if real),
        *(Fault("pulse", name, lasts=PULSES) for name in random.sample(names, 2)),
        Fault("drip", "router", lasts=DRIP),
        Fault("poison", "notifications"),
    ]
