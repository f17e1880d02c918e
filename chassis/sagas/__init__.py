"""Sagas: steps (`do`) with compensations (`undo`). If a step is rejected, the steps before it are compensated.

This module holds the saga as a value, and its rules, without I/O. `chassis.sagas.driver` runs sagas and stores their
state. A test plays a saga step by step, without a driver:

    checkout = Saga("checkout", steps=(
        Step("place", do=place, undo=reject),
        Step("take payment", do=Charge, undo=CancelPayment, time_limit_s=600),
    ))
    run = checkout.given(order_id="o1", total=3000)
    run.expects("place").replies(Done())
    run.expects("take payment").replies(PaymentDeclined("no money"))
    run.expects_undo("place", because="payment_declined").replies(Done())
    run.ends("undone")
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from chassis import clock
from chassis.errors import DomainError, OutcomeUnknown, rebuild
from chassis.messages import Command
from chassis.sagas import log
from chassis.sagas.fields import check_fields
from chassis.sagas.outcomes import Abandoned, Defect, Done, Outcome, Waiting, logged
from chassis.schema import SagaData, Schema

if TYPE_CHECKING:
    from chassis.sagas.run import Run

__all__ = ["Abandoned", "Defect", "Done", "Outcome", "Waiting"]

Payload = dict[str, Any]
Action = type[Command] | Callable[[Payload], Schema | None]

MIN_BACKOFF_S, MAX_BACKOFF_S, MAX_UNDO_BACKOFF_S = 0.2, 5.0, 15.0
STUCK_ATTEMPTS = 10
"""Failed attempts of one compensation after which the saga counts as stuck, and an operator is alerted."""
BLOCKING_DEFECTS = 5
"""Attempts of one `do` that failed by a defect before the saga is blocked, and waits for an operator."""
MIN_BLOCKING_S = 60.0
"""Seconds after the start of a step in which no defect blocks it: a defective process may be replaced by then.
A step whose time limit is not longer is compensated, and never blocked."""


class SagaAborted(DomainError, kind="aborted", title="Aborted"):
    """An operator aborted the saga."""

    def __init__(self) -> None:
        super().__init__("It could not be completed, and was ended by the operator.")


class LaterVersion(DomainError):
    """The saga has a version that this release does not know."""

    def __init__(self, saga: str, version: int) -> None:
        super().__init__(f"This release has no version {version} of {saga}; use the one that opened it.")


class StepTimedOut(DomainError, kind="timeout"):
    """A step had not succeeded by its time limit."""

    def __init__(self, step: str) -> None:
        super().__init__("It took too long.")
        self.title = f"Could not {step}"


@dataclass(frozen=True)
class Step:
    """One step of a saga.

    `do` and `undo` are commands, whose fields are taken from the saga's data by name, or functions of the data.
    """

    name: str
    do: Action
    undo: Action | None = None
    """The compensation of `do`; None if it needs none."""
    time_limit_s: float | None = 600.0
    """Seconds for which `do` is retried, with the same key, after NotAttempted or OutcomeUnknown; then the saga is
    compensated. None: no limit."""
    heartbeat_command: type[Command] | None = None
    """Sent before a retry of `do`, to keep the result of an earlier step alive. `renew_after_ms` in its reply, or in
    that of the earlier step, is the time after which the next one is due."""
    errors: tuple[type[DomainError], ...] = ()
    """The domain errors of `do` where it is a function; a command declares its own."""
    before_waiting: Callable[[Payload], None] | None = None
    """Called before the saga waits for a person; a domain error that it raises compensates the saga instead."""


@dataclass(frozen=True)
class State:
    """The state of a saga: the index of its current step, and what is known of it."""

    data: Payload
    step: int = 0
    undoing: bool = False
    attempts: int = 0
    """Failed attempts of the current action."""
    step_started_at: str = ""
    outcome_unknown: bool = False
    """Whether an attempt of the current step may have been done."""
    reason: Payload | None = None
    """The domain error because of which the saga is compensated."""
    log: tuple[Payload, ...] = ()
    """The outcomes so far: see `chassis.sagas.log`."""
    ended: str = ""
    """"done", "undone", or "" while the saga is open."""
    defects: int = 0
    """Attempts of the current action that ended by a defect."""
    blocked: bool = False
    """Whether the saga waits for an operator."""
    waiting: Payload | None = None
    """{since, until} while the saga waits for a person."""
    waited_ms: int = 0
    """Milliseconds for which the saga has waited for a person so far."""

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> "State":
        """Return the state from the fields of a document."""
        names = {name: to for name, to in _STORED_NAMES.items() if to in doc or name not in _SINCE_0_3_0}
        stored = {name: doc[stored_name] for name, stored_name in names.items()}
        return cls(**{**stored, "log": tuple(stored["log"])})

    def to_doc(self) -> Payload:
        """Return the state as the fields of a document."""
        stored = {stored_name: getattr(self, name) for name, stored_name in _STORED_NAMES.items()}
        return {**stored, "log": list(self.log)}


_STORED_NAMES = {name: to_camel(name) for name in State.__dataclass_fields__}
_SINCE_0_3_0 = ("defects", "blocked", "waiting", "waited_ms")


class Saga:
    """A named list of steps.

    Arguments:
        secrets: the names of data that are deleted when the saga ends.
        log_id_field: the name of the saga's id in log lines.
        timed_out: the error with which the saga is compensated when a step reaches its time limit.
        no_skip_after: the step after which an operator cannot skip a step; "": the last.
        no_abort_after: the step after which an operator cannot abort the saga; "": the last.
        data: the data with which a saga is opened. It, or the reply of an earlier step, must have the required fields
            of each command. A field that a later release adds needs a default, which open sagas get.
        version: the version of these steps. Other steps, or another order, need a higher one.
        earlier: the definitions of earlier versions, by which sagas of these versions continue.

    Raises TypeError if a command needs a field that the saga does not have, or if the saga has no step with the name in
    `no_skip_after` or `no_abort_after`.
    """

    def __init__(
        self,
        name: str,
        steps: tuple[Step, ...],
        secrets: tuple[str, ...] = (),
        log_id_field: str = "sagaId",
        timed_out: type[StepTimedOut] = StepTimedOut,
        no_skip_after: str = "",
        no_abort_after: str = "",
        data: type[SagaData] | None = None,
        version: int = 1,
        earlier: "tuple[Saga, ...]" = (),
    ) -> None:
        if unknown := {no_skip_after, no_abort_after} - {"", *(step.name for step in steps)}:
            raise TypeError(f"{name} has no step {', '.join(sorted(unknown))}")
        self.name, self.steps, self.secrets, self.log_id_field = name, steps, secrets, log_id_field
        self.timed_out = timed_out
        self.no_skip_after, self.no_abort_after = no_skip_after, no_abort_after
        self.data, self.version, self.earlier = data, version, earlier
        if data is not None:
            check_fields(name, steps, data)

    def of_version(self, version: int) -> "Saga | None":
        """Return the definition of this version; None if this release does not have it."""
        return next((saga for saga in (self, *self.earlier) if saga.version == version), None)

    def action_data(self, state: State) -> Payload:
        """Return what an action gets: the saga's data, the reason of a compensation, and the time it waited."""
        fields = self.data.model_fields if self.data else {}
        optional = {name: field for name, field in fields.items() if not field.is_required()}
        defaults = {name: field.get_default(call_default_factory=True) for name, field in optional.items()}
        of_state = {"reason": state.reason, "waited_ms": state.waited_ms}
        return {**defaults, **state.data, **{name: value for name, value in of_state.items() if value}}

    @property
    def errors(self) -> tuple[type[DomainError], ...]:
        """Every domain error that may end the saga: those of its steps, `timed_out`, and SagaAborted."""
        of_steps = (error for step in self.steps for error in (*getattr(step.do, "errors", ()), *step.errors))
        return tuple(dict.fromkeys((*of_steps, self.timed_out, SagaAborted)))

    def rebuild(self, reason: Payload, **extra: Any) -> DomainError:
        """Return the error that a stored `reason` came from, with further members."""
        return rebuild(self.errors, reason["kind"], reason["title"], reason["detail"], {**reason["extra"], **extra})

    def begin(self, data: Payload) -> State:
        """Return the state of a new saga."""
        return State(data=data, step_started_at=clock.timestamp())

    def action(self, state: State) -> tuple[Step, Action]:
        """Return the current step, and its `do` or `undo`, whichever is next."""
        step = self.steps[state.step]
        action = step.undo if state.undoing else step.do
        if action is None:
            raise ValueError(f"{step.name} has no undo")
        return step, action

    def idempotency_key(self, id: str, state: State) -> str:
        """Return the idempotency key of the current action: the same for each attempt."""
        return f"{id}:{self.steps[state.step].name.replace(' ', '-')}{':undo' if state.undoing else ''}"

    def advance(self, state: State, outcome: Outcome) -> State:
        """Return the state after an attempt of the current action had this outcome."""
        return self._after_undo(state, outcome) if state.undoing else self._after_do(state, outcome)

    def backoff_s(self, state: State) -> float:
        """Return the seconds to wait before the next attempt; 0 if the saga moved on, ended or is blocked."""
        if not state.attempts or state.blocked:
            return 0.0
        limit_s = MAX_UNDO_BACKOFF_S if state.undoing else MAX_BACKOFF_S
        return float(min(limit_s, MIN_BACKOFF_S * 2 ** min(state.attempts - 1, 10)))

    def _after_do(self, state: State, outcome: Outcome) -> State:
        step = self.steps[state.step]
        if isinstance(outcome, Done):
            state = self._append_log(replace(state, data={**state.data, **outcome.reply}), "done")
            return self.proceed(state)
        if isinstance(outcome, DomainError):
            state = self._append_log(state, "refused", outcome.kind)
            return self.unwind(state, outcome, state.step - 1)
        if isinstance(outcome, Waiting | Abandoned):
            return self._wait(state, outcome)
        outcome_unknown = state.outcome_unknown or isinstance(outcome, OutcomeUnknown)
        state = self._append_log(state, logged(outcome), str(outcome))
        if isinstance(outcome, Defect):
            state = replace(state, defects=state.defects + 1)
        elapsed_s = clock.seconds_since(state.step_started_at)
        if step.time_limit_s is not None and elapsed_s >= step.time_limit_s:
            return self.unwind(state, self.timed_out(step.name), state.step if outcome_unknown else state.step - 1)
        is_defective = state.defects >= BLOCKING_DEFECTS and isinstance(outcome, Defect)
        blocked = is_defective and elapsed_s >= MIN_BLOCKING_S
        return replace(state, attempts=state.attempts + 1, outcome_unknown=outcome_unknown, blocked=blocked)

    def _wait(self, state: State, outcome: Waiting | Abandoned) -> State:
        """Let a person act; if it is too late for that, compensate the current step, too: it may be done meanwhile."""
        late = isinstance(outcome, Waiting) and outcome.until <= clock.timestamp()
        error = outcome.error if isinstance(outcome, Abandoned) else self.timed_out(self.steps[state.step].name)
        if late or isinstance(outcome, Abandoned):
            return self.unwind(self._append_log(state, "refused", error.kind), error, state.step)
        state = self._append_log(replace(state, data={**state.data, **outcome.reply}), "waiting")
        waiting = {"since": clock.timestamp(), "until": outcome.until}
        return replace(state, waiting=waiting, attempts=0, defects=0, outcome_unknown=True)

    def wake(self, state: State) -> State:
        """Return the state in which a step that waits for a person is due, any other state as it is."""
        if not state.waiting:
            return state
        waited_ms = round(1000 * max(0.0, clock.seconds_since(state.waiting["since"])))
        return self.restart(replace(state, waiting=None, waited_ms=state.waited_ms + waited_ms))

    def restart(self, state: State) -> State:
        """Return the state in which the current `do` has its whole time limit, and its heartbeat command is due."""
        data = {**state.data, "renew_after_ms": 0} if "renew_after_ms" in state.data else state.data
        attempts = int(self.steps[state.step].heartbeat_command is not None)  # it is sent before a retry
        begun = replace(state, data=data, blocked=False, defects=0, attempts=attempts)
        return replace(begun, step_started_at=clock.timestamp())

    def _after_undo(self, state: State, outcome: Outcome) -> State:
        if isinstance(outcome, Done):
            state = self._append_log(replace(state, data={**state.data, **outcome.reply}), "undone")
            return self._undo_from(state, state.step - 1)
        state = self._append_log(state, "undo failed", str(outcome))
        return replace(state, attempts=state.attempts + 1)

    def unwind(self, state: State, error: DomainError, step: int) -> State:
        """Return the state in which the compensation begins with this step, because of this error."""
        reason = {"kind": error.kind, "title": error.title, "detail": error.detail, "extra": error.extra}
        return self._undo_from(replace(state, reason=reason), step)

    def _undo_from(self, state: State, step: int) -> State:
        """Go to the compensation of this step, or of the nearest one before it that has one; end if there is none."""
        while step >= 0 and self.steps[step].undo is None:
            step -= 1
        state = replace(state, undoing=True)
        return self._end(state, "undone") if step < 0 else self._go_to(state, step)

    def proceed(self, state: State) -> State:
        """Return the state at the step after the current one, or at the end."""
        return self._end(state, "done") if state.step + 1 == len(self.steps) else self._go_to(state, state.step + 1)

    def _go_to(self, state: State, step: int) -> State:
        begun = replace(state, step=step, attempts=0, defects=0, blocked=False, outcome_unknown=False, waiting=None)
        return replace(begun, step_started_at=clock.timestamp())

    def _end(self, state: State, ended: str) -> State:
        data = {name: value for name, value in state.data.items() if name not in self.secrets}
        return replace(state, data=data, ended=ended, attempts=0, defects=0, blocked=False, waiting=None)

    def _append_log(self, state: State, outcome: str, detail: str = "") -> State:
        return replace(state, log=log.append(state.log, self.steps[state.step].name, outcome, detail))

    def given(self, **data: Any) -> "Run":
        """Return a run that a test plays step by step."""
        from chassis.sagas.run import Run

        return Run(self, self.begin(data))
