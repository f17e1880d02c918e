"""The run of a saga in a test, without a driver: see `chassis.sagas`."""

from chassis.sagas import Outcome, Saga, State


class Run:
    """A saga that a test plays step by step, by the same rules as the driver."""

    def __init__(self, saga: Saga, state: State) -> None:
        self.saga, self.state = saga, state

    def expects(self, step: str) -> "Run":
        """Assert that the next action is the `do` of this step."""
        return self._expects(step, undoing=False)

    def expects_undo(self, step: str, because: str = "") -> "Run":
        """Assert that the next action is the `undo` of this step, because of an error of this kind."""
        self._expects(step, undoing=True)
        kind = (self.state.reason or {}).get("kind")
        if because and kind != because:
            raise AssertionError(f"undone because of {kind}, not {because}")
        return self

    def replies(self, outcome: Outcome) -> "Run":
        """Continue with this outcome of the action."""
        self.state = self.saga.advance(self.state, outcome)
        return self

    def waits(self, step: str, until: str) -> "Run":
        """Assert that the saga waits at this step for a person, until this time; then go on as after a hint."""
        self._expects(step, undoing=False)
        if (self.state.waiting or {}).get("until") != until:
            raise AssertionError(f"the saga does not wait until {until}: {self.state}")
        self.state = self.saga.wake(self.state)
        return self

    def ends(self, ended: str) -> "Run":
        """Assert that the saga has ended "done" or "undone"."""
        if self.state.ended != ended:
            raise AssertionError(f"the saga is not {ended}: {self.state}")
        return self

    def _expects(self, step: str, undoing: bool) -> "Run":
        if self.state.ended:
            raise AssertionError(f"the saga has ended {self.state.ended}")
        at = self.saga.steps[self.state.step].name, self.state.undoing
        if at != (step, undoing):
            raise AssertionError(f"the saga is at {at}, not at {(step, undoing)}")
        return self
