"""The log of a saga: the outcome of each attempt of a step, in entries {step, outcome, detail, times, at}.

It stays small, however long a step is retried: an outcome like the last one is counted in the last entry. While
outcomes alternate for days, the first entries of a step stay as they are, and later outcomes are counted in the latest
entry of their kind, which moves to the end.
"""

from collections.abc import Sequence
from typing import Any

from chassis import clock

MAX_ENTRIES = 20
"""Entries of one step, beyond which outcomes are counted; a kind of outcome that is new then adds one."""
FIRST_ENTRIES = 10
"""Entries of one step that stay as they are."""

Entry = dict[str, Any]


def append(log: Sequence[Entry], step: str, outcome: str, detail: str) -> tuple[Entry, ...]:
    """Return the log with the outcome of one more attempt."""
    counted = _find_counting(log, step, outcome)
    times = 1 if counted is None else log[counted]["times"] + 1
    kept = [entry for number, entry in enumerate(log) if number != counted]
    return (*kept, {"step": step, "outcome": outcome, "detail": detail, "times": times, "at": clock.timestamp()})


def _find_counting(log: Sequence[Entry], step: str, outcome: str) -> int | None:
    """Return the number of the entry that counts this outcome, None for a new one."""
    of_step = [number for number, entry in enumerate(log) if entry["step"] == step]
    is_full = len(of_step) >= MAX_ENTRIES
    candidates = of_step[FIRST_ENTRIES:] if is_full else [len(log) - 1] if log else []
    alike = [number for number in candidates if (log[number]["step"], log[number]["outcome"]) == (step, outcome)]
    return alike[-1] if alike else None
