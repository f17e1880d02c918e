"""Interventions of an operator in an open saga: retry it, abort it, or skip its step. Its log keeps the reason.

An intervention increments the fencing token, so that a driver which holds the saga can no longer write.
"""

from collections.abc import Callable
from dataclasses import replace

from chassis import clock
from chassis.errors import DomainError, NotFound
from chassis.sagas import Saga, SagaAborted, State
from chassis.sagas.driver import Driver
from chassis.sagas.outcomes import OUTCOMES_OF_ATTEMPTS
from chassis.store import Doc

LOGGED = ("retried", "aborted", "skipped")
"""The outcomes of interventions in the log of a saga; their detail is the reason, which only operators see."""
OUTCOMES = (*OUTCOMES_OF_ATTEMPTS, *LOGGED)
"""Every outcome in the log of a saga."""
MAX_REASON = 500
_RACES = 5
Intervention = Callable[[Saga, State], State]


class NotAllowed(DomainError):
    """The saga is in a state that does not allow the intervention."""


class ChangedMeanwhile(DomainError):
    """At each attempt to store the intervention, a driver had just changed the saga."""

    def __init__(self) -> None:
        super().__init__("The saga is being driven just now; try again.")


def retry(saga: Saga, state: State) -> State:
    """Return the state in which the current action is due at once; a blocked `do` gets its whole time limit again.

    Its heartbeat command is due at once, too: while it was blocked, none was sent. A step that waits for a person asks
    whether that has acted.

    Raises NotAllowed.
    """
    if state.undoing:
        return state
    if state.waiting:
        return saga.wake(state)
    if not state.blocked:
        raise NotAllowed("It is not blocked: it is retried by itself.")
    return saga.restart(state)


def abort(saga: Saga, state: State) -> State:
    """Return the state in which the compensation begins with the current step, because that may be done.

    Raises NotAllowed, also at the first step unless it is blocked: a driver, or a retry of the client, could still do
    that step after its compensation.
    """
    if state.undoing:
        raise NotAllowed("It is being compensated already.")
    if state.step == 0 and not state.blocked:
        raise NotAllowed("Its first step is neither done nor blocked, and may be done just now; try again later.")
    if _is_after(saga, state, saga.no_abort_after):
        raise NotAllowed(f"It cannot be aborted after {saga.no_abort_after}; correct the cause, and retry it.")
    return saga.unwind(saga.wake(state), SagaAborted(), state.step)


def skip(saga: Saga, state: State) -> State:
    """Return the state after the current step, as if that were done. Raises NotAllowed."""
    step = saga.steps[state.step]
    if state.undoing:
        raise NotAllowed("A compensation is never skipped: it is retried until it succeeds.")
    if not state.blocked:
        raise NotAllowed("Only a blocked step can be skipped.")
    if step.undo is not None:
        raise NotAllowed(f"{step.name} has a compensation, so later steps may need what it does; abort the saga.")
    if _is_after(saga, state, saga.no_skip_after):
        raise NotAllowed(f"No step after {saga.no_skip_after} can be skipped; correct the cause, and retry it.")
    return saga.proceed(state)


def intervene(driver: Driver, id: str, intervention: Intervention, outcome: str, reason: str) -> Doc:
    """Store an intervention and its reason, and make the saga due; return its document.

    Arguments:
        outcome: how the log names it; one of LOGGED.

    Raises NotFound, NotAllowed, LaterVersion, ChangedMeanwhile.
    """
    for _ in range(_RACES):
        doc = driver.collection.get(id)
        if doc is None:
            raise NotFound("saga")
        if not doc["open"]:
            raise NotAllowed(f"It has ended {doc['ended']}.")
        state, saga = State.from_doc(doc), driver.definition(doc)
        step = saga.steps[state.step].name
        entry = {"step": step, "outcome": outcome, "detail": reason, "times": 1, "at": clock.timestamp()}
        state = replace(intervention(saga, state), log=(*state.log, entry))
        fields = {**state.to_doc(), "open": not state.ended, "due": clock.timestamp()}
        seen = {"fence": doc["fence"], "due": doc["due"], "open": True}
        if changed := driver.collection.update(id, {"$set": fields, "$inc": {"fence": 1}}, when=seen):
            return changed
    raise ChangedMeanwhile


def _is_after(saga: Saga, state: State, step: str) -> bool:
    return step in [each.name for each in saga.steps[: state.step]]
