"""Audits: a service looks over its own books, and what must agree with those of others, while it goes on working.

    service.audits("order", audit.ids, audit.judge)

    ids ---> batches ---> judge ---> doubts -- AGAIN seconds later: judge ---> those that are still there: findings

What is under way may look wrong for a moment, so a finding counts only if it is found again, word for word. Its words
therefore say what does not change while the platform sells: "1 more than was received", not "7 of 6".
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from chassis import clock
from chassis.errors import TransientError

BATCH = 100
"""How many are judged at once: what a command between services may ask for."""
DOUBTS = 1000
"""How many doubts are kept before they are looked at again."""
AGAIN = 5.0
"""Seconds after which what looked wrong is looked at again, and what could not be asked is asked again."""


@dataclass(frozen=True)
class Finding:
    """Something that does not agree: whose it is, the number of the invariant, and what is wrong."""

    id: str
    invariant: str
    detail: str


@dataclass(frozen=True)
class Unseen:
    """One that could not be judged, and why."""

    id: str
    why: str


Doubt = Finding | Unseen
Ids = Callable[[], Iterable[str]]
Judge = Callable[[list[str]], Iterable[Doubt]]


@dataclass(frozen=True)
class Audit:
    """What is looked over: a noun whose plural has an s, the ids of all of them, and what is wrong with some.

    `judge` gets up to BATCH ids, changes nothing, and leaves out what is still under way. Both may raise TransientError.
    """

    noun: str
    ids: Ids
    judge: Judge


@dataclass
class Look:
    """One look over all of an audit. `seen` counts those that were judged so far; `watch` is called as it grows."""

    audit: Audit
    seen: int = 0
    watch: Callable[[], None] = lambda: None
    _doubts: list[Doubt] = field(default_factory=list)

    def doubts(self) -> Iterator[Doubt]:
        """All that is wrong, and all that could not be judged, as it is found. Raises TransientError where it cannot go on."""
        for ids in _batches(self.audit.ids()):
            self._doubts += self._judged(ids)
            self.seen += len(ids)
            self.watch()
            if len(self._doubts) >= DOUBTS:
                yield from self._again()
        yield from self._again()

    def _again(self) -> Iterator[Doubt]:
        doubts, self._doubts = self._doubts, []
        if doubts:
            clock.sleep(AGAIN)
        for ids in _batches(dict.fromkeys(doubt.id for doubt in doubts)):
            still = set(self._judged(ids))
            yield from (doubt for doubt in doubts if doubt in still)

    def _judged(self, ids: list[str]) -> list[Doubt]:
        try:
            return list(self.audit.judge(ids))
        except TransientError:
            clock.sleep(AGAIN)
            return list(self.audit.judge(ids))


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while batch := list(islice(left, BATCH)):
        yield batch
