"""The rules of a saga, for every sequence of outcomes that there can be."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chassis import clock
from chassis.errors import DomainError, NotAttempted, OutcomeUnknown
from chassis.sagas import MAX_UNDO_BACKOFF_S, MAX_BACKOFF_S, Done, Outcome, Saga, State, Step
from chassis.testing import FakeClock

WITHIN = 20.0


class Rejected(DomainError):
    """The step is rejected."""


def nothing(data: dict[str, Any]) -> None: ...


OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(
    [Done({"seen": "x"}), Rejected(), NotAttempted("away"), OutcomeUnknown("late")]
)
UNDONE: st.SearchStrategy[Outcome] = st.sampled_from([Done(), OutcomeUnknown("late"), NotAttempted("away")])
"""What an undo may come to: the driver turns a refusal into not knowing."""


@st.composite
def sagas(draw: st.DrawFn) -> Saga:
    """One to five steps, some without an undo, some that never give up."""
    steps = tuple(
        Step(
            f"step {n}",
            do=nothing,
            undo=nothing if draw(st.booleans()) else None,
            time_limit_s=draw(st.sampled_from([WITHIN, WITHIN, None])),
        )
        for n in range(draw(st.integers(1, 5)))
    )
    return Saga("random", steps, secrets=("token",))


@st.composite
def played(draw: st.DrawFn) -> tuple[Saga, list[tuple[str, bool, Outcome]], State]:
    """A saga played to its end: (step, undoing, outcome) of each action, and the last state."""
    time = FakeClock()
    clock.use(time)
    try:
        saga = draw(sagas())
        state = saga.begin({"token": "secret", "order_id": "o1"})
        actions: list[tuple[str, bool, Outcome]] = []
        while not state.ended:
            step = saga.steps[state.step]
            # After enough tries luck turns, or a step that never gives up would play for ever.
            outcome: Outcome = Done() if state.attempts > 8 else draw(UNDONE if state.undoing else OUTCOMES)
            actions.append((step.name, state.undoing, outcome))
            state = saga.advance(state, outcome)
            wait = saga.backoff_s(state)
            assert 0 <= wait <= (MAX_UNDO_BACKOFF_S if state.undoing else MAX_BACKOFF_S)
            assert (wait > 0) == (state.attempts > 0)
            time.pass_time(wait)
        return saga, actions, state
    finally:
        clock.use(clock.Clock())


@given(played())
@settings(deadline=None)
def test_a_saga_that_is_done_did_every_step_once_and_undid_none(run: tuple[Saga, list[Any], State]) -> None:
    saga, actions, state = run
    if state.ended == "done":
        assert [name for name, _, outcome in actions if isinstance(outcome, Done)] == [s.name for s in saga.steps]
        assert not any(undoing for _, undoing, _ in actions)


@given(played())
@settings(deadline=None)
def test_what_was_or_may_have_been_done_is_undone_once_in_reverse(run: tuple[Saga, list[Any], State]) -> None:
    saga, actions, state = run
    if state.ended != "undone":
        return
    done = [name for name, undoing, outcome in actions if not undoing and isinstance(outcome, Done)]
    last, _, final = [action for action in actions if not action[1]][-1]
    outcome_unknown = any(
        isinstance(outcome, OutcomeUnknown) for name, undoing, outcome in actions if name == last and not undoing
    )
    if outcome_unknown and not isinstance(final, DomainError):
        done.append(last)
    undoable = {step.name for step in saga.steps if step.undo}
    undone = [name for name, undoing, outcome in actions if undoing and isinstance(outcome, Done)]
    assert undone == [name for name in reversed(done) if name in undoable]


@given(played())
@settings(deadline=None)
def test_an_action_is_repeated_under_its_key_and_no_other_has_it(run: tuple[Saga, list[Any], State]) -> None:
    saga, actions, _ = run
    keys = {(name, undoing): set[str]() for name, undoing, _ in actions}
    for name, undoing, _ in actions:
        number = next(n for n, step in enumerate(saga.steps) if step.name == name)
        keys[name, undoing].add(saga.key("o1", State({}, step=number, undoing=undoing)))
    assert all(len(found) == 1 for found in keys.values())
    assert len(set.union(*keys.values())) == len(keys)


@given(played())
@settings(deadline=None)
def test_a_saga_that_has_ended_holds_no_secret_and_a_log_that_tells_all(run: tuple[Saga, list[Any], State]) -> None:
    _, actions, state = run
    assert "token" not in state.data
    assert state.data["order_id"] == "o1"
    assert sum(line["times"] for line in state.log) == len(actions)


@given(played())
@settings(deadline=None)
def test_a_saga_survives_being_written_down(run: tuple[Saga, list[Any], State]) -> None:
    _, _, state = run
    assert State.read(state.fields()) == state


def test_a_step_that_takes_too_long_is_undone_only_if_it_may_have_been_done(fake_clock: FakeClock) -> None:
    saga = Saga("two", (Step("one", nothing, nothing), Step("two", nothing, nothing, time_limit_s=WITHIN)))
    for outcome, first in ((OutcomeUnknown("late"), "two"), (NotAttempted("away"), "one")):
        run = saga.given().expects("one").replies(Done()).expects("two").replies(outcome)
        fake_clock.pass_time(WITHIN)
        run.replies(NotAttempted("away")).expects_undo(first, because="timeout")
