"""What an account may make the platform hash: a bounded queue, and a limit that all changes of credentials share."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import pytest

from chassis.errors import NotAttempted
from chassis.settings import settings
from chassis.web import limits
from services.users import passwords
from services.users.api import limit_credential_changes

FLOOD = 30


@pytest.fixture
def hashing(monkeypatch):
    """Make each hash wait for an event; return what counts the hashes that have begun, and the event."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Hasher:
        def verify(self, stored, password):
            begun.release()
            assert go_on.wait(30)

    monkeypatch.setattr(passwords, "_hasher", Hasher())
    yield begun, go_on
    go_on.set()


def attempt(_=0):
    """Return whether the password is right, None if the queue is full."""
    try:
        return passwords.matches("correct horse battery", "a hash")
    except NotAttempted as error:
        assert error.retry_after > 0
        return None


def test_a_flood_of_passwords_is_refused_beyond_half_of_the_threads(hashing):
    begun, go_on = hashing
    places = settings().threads // 2
    with ThreadPoolExecutor(FLOOD) as pool:
        flood = [pool.submit(attempt, number) for number in range(FLOOD)]
        refused = [each.result() for each in islice(as_completed(flood, timeout=30), FLOOD - places)]
        assert refused == [None] * (FLOOD - places)
        assert begun.acquire(timeout=30)
        assert not begun.acquire(blocking=False), "one password is hashed at a time"
        go_on.set()
        assert [each.result() for each in flood].count(True) == places
    assert attempt() is True, "the queue is free again"


def test_threads_that_hash_first_make_one_queue(monkeypatch):
    made, all_here = [], threading.Barrier(8)

    def make(workers, *args, **options):
        made.append(passwords._making_queue.locked())
        return ThreadPoolExecutor(workers, *args, **options)

    def first(_):
        all_here.wait(30)
        return passwords._queue()

    monkeypatch.setattr(passwords, "ThreadPoolExecutor", make)
    passwords._made_queue.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        queues = set(pool.map(first, range(8)))
    passwords._made_queue.cache_clear()
    assert (len(queues), made) == (1, [True])


def test_hashing_works_where_its_priority_cannot_be_set(monkeypatch):
    def refuse(*_):
        raise PermissionError("not in this sandbox")

    monkeypatch.setattr(passwords.os, "setpriority", refuse)
    passwords._made_queue.cache_clear()
    assert passwords.hash_password("correct horse battery").startswith("$argon2id$")
    passwords._made_queue.cache_clear()


def test_all_changes_of_credentials_of_an_account_share_a_limit(store, fake_clock):
    limits.counters.attach(store).ensure_indexes()
    for _ in range(30):
        limit_credential_changes("u1")
    with pytest.raises(limits.RateLimited):
        limit_credential_changes("u1")
    limit_credential_changes("u2")
    fake_clock.pass_time(3601)
    limit_credential_changes("u1")
