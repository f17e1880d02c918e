"""What the suites of the MongoDB engine have in common."""

import time

import pytest
from pymongo import monitoring

from chassis import deadline
from chassis.store import Collection, StoreUnavailable

MARGIN = 2.0  # seconds that a busy machine may add


class Spy(monitoring.CommandListener, monitoring.ConnectionPoolListener):
    """Records the commands of every client of this process, and the maximum number of open connections."""

    def __init__(self):
        self.commands, self.open, self.max_open = [], 0, 0

    def started(self, event):
        self.commands.append(event.command)

    def named(self, name):
        return [command for command in self.commands if next(iter(command)) == name]

    def connection_created(self, event):
        self.open += 1
        self.max_open = max(self.max_open, self.open)

    def connection_closed(self, event):
        self.open -= 1

    def nothing(self, event):
        """Ignore the event."""

    succeeded = failed = pool_created = pool_cleared = pool_closed = pool_ready = nothing
    connection_ready = connection_check_out_started = connection_check_out_failed = nothing
    connection_checked_out = connection_checked_in = nothing


spy = Spy()
monitoring.register(spy)


def created(store, *indexes):
    docs = Collection("docs", *indexes)
    docs.attach(store).ensure_indexes()
    return docs


def in_a_request(work, seconds=5.0):
    """Return the seconds until StoreUnavailable, in a request with a deadline."""
    started = time.monotonic()
    with deadline.within(seconds), pytest.raises(StoreUnavailable):
        work()
    return time.monotonic() - started
