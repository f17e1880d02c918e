"""Limits of failures: a wait that grows up to its maximum, in the store, and that hammering does not prolong."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chassis import failure_limits
from chassis.failure_limits import FailureLimit, TooManyFailures
from chassis.web import problems

LIMIT = FailureLimit("test", max_failures=3, window_s=600, first_wait_s=10, max_wait_s=60)


@pytest.fixture(autouse=True)
def failures(store, fake_clock):
    return failure_limits.failures.attach(store).ensure_indexes()


def fail(times, key="ada"):
    for _ in range(times):
        LIMIT.count(key)


def test_nobody_waits_below_the_limit():
    fail(2)
    assert LIMIT.wait_s("ada") == 0


def test_each_failure_beyond_the_limit_doubles_the_wait_up_to_the_maximum(fake_clock):
    fail(2)
    waits = []
    for _ in range(5):
        fail(1)
        waits.append(LIMIT.wait_s("ada"))
        fake_clock.pass_time(waits[-1])
        assert LIMIT.wait_s("ada") == 0
    assert waits == [10, 20, 40, 60, 60]
    assert LIMIT.wait_s("bob") == 0


def test_failures_are_forgotten_after_their_window(fake_clock):
    fail(2)
    fake_clock.pass_time(601)
    fail(2)
    assert LIMIT.wait_s("ada") == 0


def test_a_wait_is_forgotten_one_window_after_its_end(fake_clock):
    fail(3)
    fake_clock.pass_time(10 + 599)
    fail(1)
    assert LIMIT.wait_s("ada") == 20
    fake_clock.pass_time(20 + 601)
    fail(1)
    assert LIMIT.wait_s("ada") == 0


def test_concurrent_failures_all_count():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: LIMIT.count("ada"), range(40)))
    assert [doc["count"] for doc in failure_limits.failures.iterate()] == [40]


def test_store_holds_no_key_and_only_what_counts(fake_clock):
    fail(1)
    assert "ada" not in str(list(failure_limits.failures.iterate()))
    fake_clock.pass_time(300)
    fail(1, "bob")
    fake_clock.pass_time(301)
    failure_limits.delete_forgotten()
    assert len(list(failure_limits.failures.iterate())) == 1


def test_rate_limits_off_turns_it_off(monkeypatch):
    off = failure_limits.settings().model_copy(update={"rate_limits": "off"})
    fail(5)
    monkeypatch.setattr(failure_limits, "settings", lambda: off)
    assert LIMIT.wait_s("ada") == 0
    fail(1)
    assert [doc["count"] for doc in failure_limits.failures.iterate()] == [5]


def test_the_response_says_how_long_to_wait():
    response = problems.to_response(TooManyFailures(42), "/", (TooManyFailures,))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "42")
