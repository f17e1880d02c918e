"""A real embedded store that fails at a chosen operation."""

from functools import partial

import pytest

from chassis.events import set_aside
from chassis.store import StoreUnavailable
from chassis.store.sqlite.store import SqliteStore


class FaultyStore:
    """A store that fails at operation number `at`: before it runs, or after it (done, but the answer is lost)."""

    def __init__(self, store):
        self._store, self.at, self.after, self.operations = store, 0, False, 0

    def fail(self, at, after):
        self.at, self.after, self.operations = at, after, 0

    def interrupts(self, work, at, after):
        """Run `work`, fail at that operation, and return whether that interrupted it."""
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
        if name not in ("insert", "get", "find", "count", "update", "bulk_update", "delete", "rewrite"):
            return operation

        def counted(*arguments):
            self.operations += 1
            if self.operations != self.at:
                return operation(*arguments)
            if self.after:
                operation(*arguments)
            raise StoreUnavailable("planted")

        return counted


@pytest.fixture
def store(tmp_path):
    """A new store to attach collections to; what jobs set aside is in it, and not where the test before left it."""
    engine = SqliteStore(tmp_path / "store.db")
    set_aside.entries.attach(engine).ensure_indexes()
    yield FaultyStore(engine)
    engine.close()


def crashes(store, work, max_operations=40):
    """Run `work` once for each operation at which the store can fail; yield its argument after each run.

    The store fails before an operation and after it, until `work` runs to its end.
    """
    for after in (False, True):
        for at in range(1, max_operations):
            place = f"{'after' if after else 'before'}-{at}"
            interrupted = store.interrupts(partial(work, place), at, after)
            yield place
            if not interrupted:
                break
        else:
            raise AssertionError("the work does not end")
