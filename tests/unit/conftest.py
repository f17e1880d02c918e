"""Handlers over a real embedded store, and a store that fails at a chosen operation."""

from functools import partial

import pytest

from chassis.store import StoreUnavailable
from chassis.store.sqlite.store import SqliteStore


class FaultyStore:
    """Fails at its `at`-th operation, before it is carried out or after (done, but the answer was lost)."""

    def __init__(self, store):
        self._store, self.at, self.after, self.asked = store, 0, False, 0

    def fail(self, at, after):
        self.at, self.after, self.asked = at, after, 0

    def cuts(self, work, at, after):
        """Run `work` and fail there; whether that cut it off."""
        self.fail(at, after)
        try:
            work()
        except StoreUnavailable:
            return True
        finally:
            self.fail(0, False)
        return False

    def __getattr__(self, name):
        operation = getattr(self._store, name)
        if name not in ("insert", "get", "find", "count", "update", "bulk_update", "delete"):
            return operation

        def counted(*arguments):
            self.asked += 1
            if self.asked != self.at:
                return operation(*arguments)
            if self.after:
                operation(*arguments)
            raise StoreUnavailable("planted")

        return counted


@pytest.fixture
def store(tmp_path):
    """A store of its own; bind collections to it."""
    engine = SqliteStore(tmp_path / "store.db")
    yield FaultyStore(engine)
    engine.close()


def crashes(store, work, most=40):
    """Run `work` once for each place in it where the store can fail, before and after; yields the order after each."""
    for after in (False, True):
        for at in range(1, most):
            place = f"{'after' if after else 'before'}-{at}"
            cut = store.cuts(partial(work, place), at, after)
            yield place
            if not cut:
                break
        else:
            raise AssertionError("the work never ended")
