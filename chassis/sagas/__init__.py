"""Sagas: a list of steps, each `do` beside its `undo`; what was done is undone in reverse when a later step is refused.

This file is the value and its rules, without I/O. `driver` carries it out and keeps it in the store.

    checkout = Saga("checkout", steps=(
        Step("place", do=place, undo=reject),
        Step("take payment", do=Charge, undo=CancelPayment, time_limit_s=600),
    ))
    run = checkout.given(order_id="o1", total=3000)
    run.expects("place").replies(Done())
    run.expects("take payment").replies(PaymentDeclined("no money"))
    run.expects_undo("place", because="payment_declined").replies(Done())
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chassis import clock
from chassis.errors import DomainError, NotAttempted, OutcomeUnknown, rebuild
from chassis.messages import Command
from chassis.schema import Schema

Payload = dict[str, Any]
Action = type[Command] | Callable[[Payload], Schema | None]

FIRST_WAIT, LONGEST_WAIT, LONGEST_UNDO_WAIT = 0.2, 5.0, 15.0
STUCK = 10
"""Tries of one undo after which an operator is told."""


@dataclass(frozen=True)
class Done:
    """The step was done; `answer` joins the saga's data."""

    answer: Payload = field(default_factory=dict)


Outcome = Done | DomainError | NotAttempted | OutcomeUnknown


class StepTimedOut(DomainError, kind="timeout"):
    """The outcome of a step was still not known at its time limit."""

    def __init__(self, step: str) -> None:
        super().__init__("It took too long.")
        self.title = f"Could not {step}"


@dataclass(frozen=True)
class Step:
    """One thing to do, and how to undo it.

    A command takes its fields from the saga's data by name; a function gets the data. While its outcome is not known,
    `do` is repeated under the same key for `within` seconds, then undone; None: for ever. `meanwhile` is sent before
    each repetition.
    """

    name: str
    do: Action
    undo: Action | None = None
    time_limit_s: float | None = 600.0
    heartbeat_command: type[Command] | None = None
    errors: tuple[type[DomainError], ...] = ()
    """The domain errors of `do` where it is a function; a command declares its own."""


@dataclass(frozen=True)
class State:
    """Where a saga stands. `since` is when the present step began; `outcome_unknown`: it may have been done unseen."""

    data: Payload
    step: int = 0
    undoing: bool = False
    tries: int = 0
    since: str = ""
    outcome_unknown: bool = False
    reason: Payload | None = None
    log: tuple[Payload, ...] = ()
    ended: str = ""

    @classmethod
    def read(cls, doc: Mapping[str, Any]) -> "State":
        return cls(**{name: doc[name] for name in cls.__dataclass_fields__ if name != "log"}, log=tuple(doc["log"]))

    def fields(self) -> Payload:
        """As the fields of a document."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "log": list(self.log)}


class Saga:
    """Steps under a name. `about` is what its id is called in the log.

    `secrets` are the names of data that are dropped as soon as the saga ends.
    """

    def __init__(
        self,
        name: str,
        steps: tuple[Step, ...],
        secrets: tuple[str, ...] = (),
        log_id_field: str = "sagaId",
        timed_out: type[StepTimedOut] = StepTimedOut,
    ) -> None:
        self.name, self.steps, self.secrets, self.log_id_field = name, steps, secrets, log_id_field
        self.timed_out = timed_out

    @property
    def errors(self) -> tuple[type[DomainError], ...]:
        """Every domain error that may end the saga: those of its steps, and `timed_out`."""
        of_steps = (error for step in self.steps for error in (*getattr(step.do, "errors", ()), *step.errors))
        return tuple(dict.fromkeys((*of_steps, self.timed_out)))

    def rebuild(self, reason: Payload, **extra: Any) -> DomainError:
        """Return the error that a stored `reason` came from, with further members."""
        return rebuild(self.errors, reason["kind"], reason["title"], reason["detail"], {**reason["extra"], **extra})

    def begin(self, data: Payload) -> State:
        return State(data=data, since=clock.timestamp())

    def action(self, state: State) -> tuple[Step, Action]:
        """What is to be carried out now."""
        step = self.steps[state.step]
        action = step.undo if state.undoing else step.do
        if action is None:
            raise ValueError(f"{step.name} has no undo")
        return step, action

    def key(self, id: str, state: State) -> str:
        """The idempotency key of the present action: the same at each repetition."""
        return f"{id}:{self.steps[state.step].name.replace(' ', '-')}{':undo' if state.undoing else ''}"

    def advance(self, state: State, outcome: Outcome) -> State:
        """The state after this outcome of the present action."""
        return self._undone(state, outcome) if state.undoing else self._done(state, outcome)

    def wait(self, state: State) -> float:
        """Seconds before the next try, 0 where the last outcome led on."""
        if not state.tries:
            return 0.0
        longest = LONGEST_UNDO_WAIT if state.undoing else LONGEST_WAIT
        return float(min(longest, FIRST_WAIT * 2 ** min(state.tries - 1, 10)))

    def _done(self, state: State, outcome: Outcome) -> State:
        step = self.steps[state.step]
        if isinstance(outcome, Done):
            state = self._append_log(replace(state, data={**state.data, **outcome.answer}), "done")
            if state.step + 1 == len(self.steps):
                return self._ended(state, "done")
            return self._go_to(state, state.step + 1)
        if isinstance(outcome, DomainError):
            state = self._append_log(state, "refused", outcome.kind)
            return self._unwind(state, _reason(outcome), state.step - 1)
        outcome_unknown = state.outcome_unknown or isinstance(outcome, OutcomeUnknown)
        state = self._append_log(state, "unknown" if isinstance(outcome, OutcomeUnknown) else "not sent", str(outcome))
        if step.time_limit_s is not None and clock.seconds_since(state.since) >= step.time_limit_s:
            reason = _reason(self.timed_out(step.name))
            return self._unwind(state, reason, state.step if outcome_unknown else state.step - 1)
        return replace(state, tries=state.tries + 1, outcome_unknown=outcome_unknown)

    def _undone(self, state: State, outcome: Outcome) -> State:
        if isinstance(outcome, Done):
            state = self._append_log(replace(state, data={**state.data, **outcome.answer}), "undone")
            return self._unwind(state, state.reason, state.step - 1)
        state = self._append_log(state, "undo failed", str(outcome))
        return replace(state, tries=state.tries + 1)

    def _unwind(self, state: State, reason: Payload | None, step: int) -> State:
        while step >= 0 and self.steps[step].undo is None:
            step -= 1
        state = replace(state, undoing=True, reason=reason)
        return self._ended(state, "undone") if step < 0 else self._go_to(state, step)

    def _go_to(self, state: State, step: int) -> State:
        return replace(state, step=step, tries=0, outcome_unknown=False, since=clock.timestamp())

    def _ended(self, state: State, how: str) -> State:
        data = {name: value for name, value in state.data.items() if name not in self.secrets}
        return replace(state, data=data, ended=how, tries=0)

    def _append_log(self, state: State, what: str, why: str = "") -> State:
        """The log with this outcome; a repetition only counts up, so that a long outage does not fill the document."""
        line: Payload = {"step": self.steps[state.step].name, "outcome": what, "detail": why, "times": 1}
        before = state.log[-1] if state.log else None
        kept = state.log
        if before and (before["step"], before["outcome"]) == (line["step"], what):
            kept, line["times"] = state.log[:-1], before["times"] + 1
        return replace(state, log=(*kept, {**line, "at": clock.timestamp()}))

    def given(self, **data: Any) -> "Run":
        """A run for a test: the steps are played by hand."""
        return Run(self, self.begin(data))


def _reason(error: DomainError) -> Payload:
    return {"kind": error.kind, "title": error.title, "detail": error.detail, "extra": error.extra}


class Run:
    """Plays a saga step by step, by the same rules as the driver."""

    def __init__(self, saga: Saga, state: State) -> None:
        self.saga, self.state = saga, state

    def expects(self, step: str) -> "Run":
        """The saga is about to do this step."""
        return self._expects(step, undoing=False)

    def expects_undo(self, step: str, because: str = "") -> "Run":
        """The saga is about to undo this step, for a reason of this kind."""
        self._expects(step, undoing=True)
        kind = (self.state.reason or {}).get("kind")
        if because and kind != because:
            raise AssertionError(f"undone because of {kind}, not {because}")
        return self

    def replies(self, outcome: Outcome) -> "Run":
        self.state = self.saga.advance(self.state, outcome)
        return self

    def ends(self, how: str) -> "Run":
        """The saga has ended `done` or `undone`."""
        if self.state.ended != how:
            raise AssertionError(f"the saga is not {how}: {self.state}")
        return self

    def _expects(self, step: str, undoing: bool) -> "Run":
        if self.state.ended:
            raise AssertionError(f"the saga has ended {self.state.ended}")
        at = self.saga.steps[self.state.step].name, self.state.undoing
        if at != (step, undoing):
            raise AssertionError(f"the saga is at {at}, not at {(step, undoing)}")
        return self
