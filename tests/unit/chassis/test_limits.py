"""Rate limits: how many in a window, for whom, and across processes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.settings import Settings
from chassis.web import limits
from chassis.web.problems import Problem


@pytest.fixture
def counters(store):
    limits.counters.attach(store).ensure_indexes()
    return limits.counters


@pytest.fixture(params=["here", "shared"])
def count(request, counters, fake_clock):
    return limits.Counts() if request.param == "here" else limits.shared


def test_a_window_begins_with_the_first_request_and_the_next_one_anew(count, fake_clock):
    assert [count("ada", 60)[0] for _ in range(3)] == [1, 2, 3]
    fake_clock.pass_time(20)
    assert count("ada", 60) == (4, 40)
    fake_clock.pass_time(41)
    assert count("ada", 60) == (1, 60)


def test_each_caller_is_counted_apart(count):
    assert [count(who, 60)[0] for who in ("ada", "bob", "ada")] == [1, 1, 2]


def test_beyond_the_limit_it_is_said_how_long_to_wait(count, fake_clock):
    told = [limits.hit("sign-in", "2/minute", "ada", count) for _ in range(2)]
    assert [each["RateLimit"] for each in told] == ['"sign-in";r=1;t=60', '"sign-in";r=0;t=60']
    assert told[0]["RateLimit-Policy"] == '"sign-in";q=2;w=60'
    fake_clock.pass_time(15)
    with pytest.raises(Problem) as refused:
        limits.hit("sign-in", "2/minute", "ada", count)
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "45")
    fake_clock.pass_time(45)
    assert limits.hit("sign-in", "2/minute", "ada", count)


def test_processes_that_share_a_store_count_each_request_once(counters):
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda _: limits.shared("ada", 60)[0], range(80)))
    assert sorted(counted) == list(range(1, 81))


def test_windows_that_are_over_leave_nothing_behind(counters, fake_clock):
    limits.shared("ada", 60)
    limits.shared("bob", 120)
    fake_clock.pass_time(61)
    limits.sweep_counters()
    assert [doc["until"] for doc in counters.iterate()] == ["2030-01-01T00:02:00.000Z"]


def test_no_address_is_kept_in_the_clear(counters):
    limits.shared("sign-in ada@example.com 198.51.100.1", 60)
    assert "ada" not in str(list(counters.iterate()))


def test_a_flood_of_callers_is_not_kept_in_memory(fake_clock, monkeypatch):
    monkeypatch.setattr(limits, "_MANY", 100)
    count = limits.Counts()
    for number in range(1000):
        count(f"caller {number}", 60)
    assert len(count._windows) == 100
    assert count("caller 999", 60)[0] == 2


@given(st.integers(1, 10**8), st.integers(1, 9999), st.sampled_from(["second", "minutes", "hour", "days"]))
def test_rules_are_read_as_they_are_written(most, many, unit):
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit[0]]
    assert limits.parse(f"{most}/{many}{unit}") == (most, many * seconds)


@pytest.mark.parametrize("rule", ["", "5", "0/minute", "5 per minute", "-1/minute", "5/fortnight"])
def test_a_rule_that_is_none_ends_the_process_at_its_start(rule):
    with pytest.raises(SystemExit, match="RATE_READ"):
        Settings.from_environment({"RATE_READ": rule})
