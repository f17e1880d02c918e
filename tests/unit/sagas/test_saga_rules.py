"""The rules of a saga, for every possible sequence of outcomes."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chassis import clock
from chassis.errors import DomainError, NotAttempted, OutcomeUnknown
from chassis.sagas import (
    MAX_BACKOFF_S,
    MAX_UNDO_BACKOFF_S,
    Defect,
    Done,
    Outcome,
    Saga,
    State,
    Step,
    Waiting,
    interventions,
    log,
)
from chassis.testing import FakeClock

TIME_LIMIT_S = 20.0


class Rejected(DomainError):
    """The step is rejected."""


def nothing(data: dict[str, Any]) -> None: ...


WAITING = Waiting("9999-12-31T23:59:59.999Z")
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(
    [Done({"seen": "x"}), Rejected(), NotAttempted("away"), OutcomeUnknown("late"), Defect("TypeError"), WAITING]
)
UNDONE: st.SearchStrategy[Outcome] = st.sampled_from(
    [Done(), OutcomeUnknown("late"), NotAttempted("away"), Defect("TypeError")]
)
"""The outcomes of an undo: the driver turns a rejection into an unknown outcome."""


@st.composite
def sagas(draw: st.DrawFn) -> Saga:
    """Draw a saga of one to five steps, some without an undo, some without a time limit."""
    steps = tuple(
        Step(
            f"step {n}",
            do=nothing,
            undo=nothing if draw(st.booleans()) else None,
            time_limit_s=draw(st.sampled_from([TIME_LIMIT_S, TIME_LIMIT_S, None])),
        )
        for n in range(draw(st.integers(1, 5)))
    )
    return Saga("random", steps, secrets=("token",))


@st.composite
def played(draw: st.DrawFn) -> tuple[Saga, list[tuple[str, bool, Outcome]], State]:
    """Play a saga to its end; return it with (step, undoing, outcome) of each attempt, and its last state."""
    time = FakeClock()
    clock.use(time)
    try:
        saga = draw(sagas())
        state = saga.begin({"token": "secret", "order_id": "o1"})
        actions: list[tuple[str, bool, Outcome]] = []
        while not state.ended:
            step = saga.steps[state.step]
            # Succeed after enough attempts, or a step without a time limit would be repeated for ever.
            outcome: Outcome = Done() if state.attempts > 8 else draw(UNDONE if state.undoing else OUTCOMES)
            actions.append((step.name, state.undoing, outcome))
            state = saga.advance(state, outcome)
            if state.blocked:
                assert not state.undoing
                state = interventions.retry(saga, state)
            wait = saga.backoff_s(state)
            if state.waiting:
                assert isinstance(outcome, Waiting) and not state.undoing and not wait
                time.pass_time(1)
                state = saga.wake(state)
            assert 0 <= wait <= (MAX_UNDO_BACKOFF_S if state.undoing else MAX_BACKOFF_S)
            assert (wait > 0) == (state.attempts > 0)
            time.pass_time(wait)
        return saga, actions, state
    finally:
        clock.use(clock.Clock())


@given(played())
@settings(deadline=None)
def test_done_saga_did_every_step_once_and_undid_none(run: tuple[Saga, list[Any], State]) -> None:
    saga, actions, state = run
    if state.ended == "done":
        assert [name for name, _, outcome in actions if isinstance(outcome, Done)] == [s.name for s in saga.steps]
        assert not any(undoing for _, undoing, _ in actions)


@given(played())
@settings(deadline=None)
def test_steps_that_may_be_done_are_undone_once_in_reverse(run: tuple[Saga, list[Any], State]) -> None:
    saga, actions, state = run
    if state.ended != "undone":
        return
    done = [name for name, undoing, outcome in actions if not undoing and isinstance(outcome, Done)]
    last, _, final = [action for action in actions if not action[1]][-1]
    outcome_unknown = any(
        isinstance(outcome, OutcomeUnknown | Waiting)
        for name, undoing, outcome in actions
        if name == last and not undoing
    )
    if outcome_unknown and not isinstance(final, DomainError):
        done.append(last)
    undoable = {step.name for step in saga.steps if step.undo}
    undone = [name for name, undoing, outcome in actions if undoing and isinstance(outcome, Done)]
    assert undone == [name for name in reversed(done) if name in undoable]


@given(played())
@settings(deadline=None)
def test_each_action_has_one_key_of_its_own(run: tuple[Saga, list[Any], State]) -> None:
    saga, actions, _ = run
    keys = {(name, undoing): set[str]() for name, undoing, _ in actions}
    for name, undoing, _ in actions:
        number = next(n for n, step in enumerate(saga.steps) if step.name == name)
        keys[name, undoing].add(saga.idempotency_key("o1", State({}, step=number, undoing=undoing)))
    assert all(len(found) == 1 for found in keys.values())
    assert len(set.union(*keys.values())) == len(keys)


@given(played())
@settings(deadline=None)
def test_ended_saga_has_no_secret_and_a_complete_log(run: tuple[Saga, list[Any], State]) -> None:
    _, actions, state = run
    assert "token" not in state.data
    assert state.data["order_id"] == "o1"
    assert sum(line["times"] for line in state.log) == len(actions)


def test_log_of_a_step_stays_small_while_outcomes_alternate_for_days(fake_clock: FakeClock) -> None:
    saga = Saga("one", (Step("first", nothing), Step("confirm", nothing, time_limit_s=None)))
    state = saga.advance(saga.begin({}), Done())
    alternating: list[Outcome] = [NotAttempted("circuit open"), OutcomeUnknown("no response")]
    attempts = 3 * 86_400 // int(MAX_BACKOFF_S)
    for number in range(attempts):
        state = saga.advance(state, alternating[number % 2])
        fake_clock.pass_time(MAX_BACKOFF_S)
        if number == log.MAX_ENTRIES:
            first = state.log[: log.FIRST_ENTRIES]
    state = saga.advance(state, Done())
    assert len(state.log) <= log.MAX_ENTRIES + 2
    assert state.log[: log.FIRST_ENTRIES] == first, "how the outage began stays readable"
    assert sum(entry["times"] for entry in state.log) == attempts + 2
    assert [entry["at"] for entry in state.log] == sorted(entry["at"] for entry in state.log)
    assert [(entry["step"], entry["outcome"]) for entry in state.log[-3:]] == [
        ("confirm", "not sent"),
        ("confirm", "unknown"),
        ("confirm", "done"),
    ]


@given(played())
@settings(deadline=None)
def test_state_is_the_same_after_storing_and_reading(run: tuple[Saga, list[Any], State]) -> None:
    _, _, state = run
    assert State.from_doc(state.to_doc()) == state


def test_step_at_its_time_limit_is_undone_only_if_it_may_be_done(fake_clock: FakeClock) -> None:
    saga = Saga("two", (Step("one", nothing, nothing), Step("two", nothing, nothing, time_limit_s=TIME_LIMIT_S)))
    for outcome, first in ((OutcomeUnknown("late"), "two"), (NotAttempted("away"), "one")):
        run = saga.given().expects("one").replies(Done()).expects("two").replies(outcome)
        fake_clock.pass_time(TIME_LIMIT_S)
        run.replies(NotAttempted("away")).expects_undo(first, because="timeout")
