"""Steps that wait for a person: what they have to do, and until when. Such a saga has no lease, and nothing polls.

    reply with an `action` ─► waiting {since, until} ─► claimed: at `until`, at the next heartbeat, or after a hint
                                                        └─► the same `do` again: done, rejected, or still waiting

The service of the step decides at `until`: a saga whose step would wait longer than that is compensated.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from chassis import clock
from chassis.schema import Schema, Timestamp, growing

OVERDUE_AFTER_S = 60.0
"""Seconds after `until` in which a saga that waited for a person goes on or is compensated."""


class UserAction(Schema):
    """What a person has to do before a step can succeed: open `url`, before `until`."""

    type: Annotated[str, growing("redirect")]
    url: str
    until: Timestamp


def is_overdue(waiting: Mapping[str, str]) -> bool:
    """Return whether a saga still waits although its time is over."""
    return clock.seconds_since(waiting["until"]) > OVERDUE_AFTER_S


def age_s(doc: Mapping[str, Any]) -> float:
    """Return the seconds for which a stored saga is open, without the time in which it waits for a person.

    The whole time counts once the saga is overdue.
    """
    waited_s, waiting = doc.get("waitedMs", 0) / 1000, doc.get("waiting")
    if waiting and is_overdue(waiting):
        waited_s = 0.0
    elif waiting:
        waited_s += max(0.0, clock.seconds_since(waiting["since"]))
    return float(max(0.0, clock.seconds_since(doc["openedAt"]) - waited_s))
