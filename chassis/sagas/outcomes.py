"""The outcome of one attempt of a step: done, rejected, not attempted, unknown, or that a person must act."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chassis.errors import DomainError, NotAttempted, OutcomeUnknown

OUTCOMES_OF_ATTEMPTS = ("done", "refused", "not sent", "unknown", "failed", "undone", "undo failed", "waiting")
"""How the log of a saga names the outcomes."""


@dataclass(frozen=True)
class Done:
    """The step succeeded; the fields of `reply` are added to the saga's data."""

    reply: dict[str, Any] = field(default_factory=dict)


class Defect(OutcomeUnknown):
    """The attempt failed by a defect of this service or of the called one; a retry is unlikely to succeed."""


@dataclass(frozen=True)
class Waiting:
    """The step succeeds only after a person has acted; the fields of `reply` are added to the saga's data."""

    until: str
    reply: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Abandoned:
    """The step would wait for a person, but the saga is compensated because of this error, with this step."""

    error: DomainError


Outcome = Done | DomainError | NotAttempted | OutcomeUnknown | Waiting | Abandoned


def logged(outcome: NotAttempted | OutcomeUnknown) -> str:
    """Return how the log of the saga names an outcome that is neither done nor rejected."""
    if isinstance(outcome, Defect):
        return "failed"
    return "unknown" if isinstance(outcome, OutcomeUnknown) else "not sent"
