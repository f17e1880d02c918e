"""Audits: a service checks its data against its invariants, and against the data of other services, while it runs.

    service.audits("order", invariants.order_ids, invariants.check_orders)

    ids -> batches -> check -> suspects -> check again RECHECK_S later -> those that remain are findings

Work in progress may look wrong for a moment. So a suspect becomes a finding only if the second check yields it again,
with the same text. The text therefore names what does not change while the platform sells: "1 more than was received",
not "7 of 6".

An exception while one object is checked is a finding about that object; the other objects are still checked.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from traceback import extract_tb

from chassis import clock
from chassis.errors import TransientError

BATCH = 100
"""Ids that are checked at once: as many as a command between services may ask for."""
MAX_SUSPECTS = 1000
"""Suspects that are collected before they are checked again."""
UNREADABLE = "unreadable"
"""Given instead of the number of an invariant where the data of an object cannot be checked."""
RECHECK_S = 5.0
"""Seconds until a suspect is checked again, and until a check that could not be made is tried again."""


@dataclass(frozen=True)
class Finding:
    """A violated invariant: the id of the object, the number of the invariant (or UNREADABLE), and what is wrong."""

    id: str
    invariant: str
    detail: str


@dataclass(frozen=True)
class NotChecked:
    """An object that could not be checked, and the reason."""

    id: str
    reason: str


class Unreadable(Exception):
    """Data that a check cannot judge; the text says why, without personal data."""


Suspect = Finding | NotChecked
Ids = Callable[[], Iterable[str]]
Check = Callable[[list[str]], Iterable[Suspect]]


@dataclass(frozen=True)
class Audit:
    """An audit of all objects of one kind.

    Arguments:
        noun: the name of the kind; its plural ends with s.
        ids: returns the ids of all objects. May raise TransientError.
        check: returns what is wrong with up to BATCH objects, and ignores work in progress. It changes nothing. May
            raise TransientError. After any other exception, it is called again for each half of the objects.
    """

    noun: str
    ids: Ids
    check: Check


@dataclass
class AuditRun:
    """One run of an audit. `checked` counts the objects checked so far; `on_progress` is called when it changes."""

    audit: Audit
    checked: int = 0
    on_progress: Callable[[], None] = lambda: None
    _suspects: list[Suspect] = field(default_factory=list)

    def results(self) -> Iterator[Suspect]:
        """Yield the findings, and the objects that could not be checked, as they are found.

        Raises:
            TransientError: the audit cannot continue.
        """
        for ids in _batches(self.audit.ids()):
            self._suspects += self._check(ids)
            self.checked += len(ids)
            self.on_progress()
            if len(self._suspects) >= MAX_SUSPECTS:
                yield from self._recheck()
        yield from self._recheck()

    def _recheck(self) -> Iterator[Suspect]:
        """Check the suspects again; yield those that remain."""
        suspects, self._suspects = self._suspects, []
        if suspects:
            clock.sleep(RECHECK_S)
        for ids in _batches(dict.fromkeys(suspect.id for suspect in suspects)):
            remaining = set(self._check(ids))
            yield from (suspect for suspect in suspects if suspect in remaining)

    def _check(self, ids: list[str]) -> list[Suspect]:
        try:
            return self._check_once(ids)
        except TransientError:
            clock.sleep(RECHECK_S)
            return self._check_once(ids)

    def _check_once(self, ids: list[str]) -> list[Suspect]:
        """Check these objects; split them until an object that raises an exception stands alone."""
        try:
            return list(self.audit.check(ids))
        except TransientError:
            raise
        except Exception as error:
            if len(ids) == 1:
                return [Finding(ids[0], UNREADABLE, _describe(error))]
        middle = len(ids) // 2
        return self._check_once(ids[:middle]) + self._check_once(ids[middle:])


def _describe(error: Exception) -> str:
    """Return what an exception says: its type and place alone, since its text could hold personal data."""
    if isinstance(error, Unreadable):
        return str(error)
    at = extract_tb(error.__traceback__)[-1]
    return f"checking it raised {type(error).__name__} in {at.name}, line {at.lineno}"


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(ids)
    while batch := list(islice(remaining, BATCH)):
        yield batch
