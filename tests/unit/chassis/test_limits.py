"""Rate limits: windows, callers, and counts across processes."""

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


@pytest.fixture(params=["local", "store"])
def count(request, counters, fake_clock):
    return limits.LocalCounter() if request.param == "local" else limits.count_in_store


def test_window_starts_with_its_first_request(count, fake_clock):
    assert [count("ada", 60)[0] for _ in range(3)] == [1, 2, 3]
    fake_clock.pass_time(20)
    assert count("ada", 60) == (4, 40)
    fake_clock.pass_time(41)
    assert count("ada", 60) == (1, 60)


def test_callers_are_counted_separately(count):
    assert [count(caller, 60)[0] for caller in ("ada", "bob", "ada")] == [1, 1, 2]


def test_request_over_the_limit_learns_how_long_to_wait(count, fake_clock):
    headers = [limits.hit("sign-in", "2/minute", "ada", count) for _ in range(2)]
    assert [each["RateLimit"] for each in headers] == ['"sign-in";r=1;t=60', '"sign-in";r=0;t=60']
    assert headers[0]["RateLimit-Policy"] == '"sign-in";q=2;w=60'
    fake_clock.pass_time(15)
    with pytest.raises(Problem) as error:
        limits.hit("sign-in", "2/minute", "ada", count)
    assert (error.value.status, error.value.headers["Retry-After"]) == (429, "45")
    fake_clock.pass_time(45)
    assert limits.hit("sign-in", "2/minute", "ada", count)


def test_what_is_refused_anyway_writes_nothing(counters, store, fake_clock):
    for _ in range(2):
        limits.hit("guess", "2/minute", "ada", limits.count_in_store)
    with pytest.raises(Problem):
        limits.hit("guess", "2/minute", "ada", limits.count_in_store)
    store.fail(at=0, after=False)
    for _ in range(5):
        fake_clock.pass_time(10)
        with pytest.raises(Problem) as error:
            limits.hit("guess", "2/minute", "ada", limits.count_in_store)
    assert error.value.headers["Retry-After"] == "10"
    assert store.operations == 0
    limits.hit("guess", "2/minute", "bob", limits.count_in_store)
    fake_clock.pass_time(10)
    limits.hit("guess", "2/minute", "ada", limits.count_in_store)


def test_concurrent_counts_in_the_store_lose_no_request(counters):
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda _: limits.count_in_store("ada", 60)[0], range(80)))
    assert sorted(counted) == list(range(1, 81))


def test_ended_windows_are_deleted(counters, fake_clock):
    limits.count_in_store("ada", 60)
    limits.count_in_store("bob", 120)
    fake_clock.pass_time(61)
    limits.delete_ended_windows()
    assert [doc["until"] for doc in counters.iterate()] == ["2030-01-01T00:02:00.000Z"]


def test_store_holds_no_address_in_plain_text(counters):
    limits.count_in_store("sign-in ada@example.com 198.51.100.1", 60)
    assert "ada" not in str(list(counters.iterate()))


def test_windows_in_memory_are_bounded(fake_clock, monkeypatch):
    monkeypatch.setattr(limits, "_MAX_WINDOWS", 100)
    count = limits.LocalCounter()
    for number in range(1000):
        count(f"caller {number}", 60)
    assert len(count._windows) == 100
    assert count("caller 999", 60)[0] == 2


@given(st.integers(1, 10**8), st.integers(1, 9999), st.sampled_from(["second", "minutes", "hour", "days"]))
def test_rule_is_parsed(limit, many, unit):
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit[0]]
    assert limits.parse(f"{limit}/{many}{unit}") == (limit, many * seconds)


@pytest.mark.parametrize("rule", ["", "5", "0/minute", "5 per minute", "-1/minute", "5/fortnight"])
def test_invalid_rule_ends_the_process_at_startup(rule):
    with pytest.raises(SystemExit, match="RATE_READ"):
        Settings.from_environment({"RATE_READ": rule})
