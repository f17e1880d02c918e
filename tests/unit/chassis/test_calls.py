"""Calls on a fake clock: what opens and closes a breaker, what pays for a retry, who is asked next."""

import pytest

from chassis.calls.breaker import Breaker
from chassis.calls.discovery import Endpoints
from chassis.calls.guards import Bulkhead, RetryBudget
from chassis.errors import NotSent

pytestmark = pytest.mark.usefixtures("fake_clock")


@pytest.fixture
def states():
    return []


@pytest.fixture
def breaker(states):
    return Breaker(states.append)


def call(breaker, succeeded=True, times=1):
    for _ in range(times):
        if breaker.allows():
            breaker.record(succeeded)


def test_five_failures_in_a_row_open_it(breaker, states):
    call(breaker, False, 4)
    call(breaker)
    call(breaker, False, 4)
    assert states == []
    call(breaker, False)
    assert states == ["open"]
    assert not breaker.allows()


def test_half_of_twenty_calls_open_it(breaker, states):
    for _ in range(9):
        call(breaker, False)
        call(breaker)
    assert states == []
    call(breaker)
    call(breaker, False)
    assert states == ["open"]


def test_failures_of_more_than_ten_seconds_ago_do_not_count(breaker, states, fake_clock):
    for _ in range(9):
        call(breaker, False)
        call(breaker)
    fake_clock.pass_time(11)
    for _ in range(9):
        call(breaker, False)
        call(breaker)
    assert states == []


def open_it(breaker):
    call(breaker, False, 5)


def test_three_probes_that_succeed_close_it(breaker, states, fake_clock):
    open_it(breaker)
    fake_clock.pass_time(2.5)
    assert [breaker.allows() for _ in range(4)] == [True, True, True, False]
    for _ in range(3):
        breaker.record(True)
    assert states == ["open", "half-open", "closed"]


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_ten_seconds(breaker, states, fake_clock):
    open_it(breaker)
    for pause in (2, 4, 8, 10, 10):
        fake_clock.pass_time(pause * 0.79)
        assert not breaker.allows(), pause
        fake_clock.pass_time(pause * 0.42)
        assert breaker.allows(), pause
        breaker.record(False)
    assert states.count("open") == 6


def test_a_retry_is_paid_for_by_ten_successes():
    budget = RetryBudget()
    while budget.spend():
        pass
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    budget.earn()
    assert budget.spend() and not budget.spend()


def test_a_full_bulkhead_sends_nothing():
    bulkhead = Bulkhead("payments", 1)
    with bulkhead.place(), pytest.raises(NotSent), bulkhead.place():
        pass
    with bulkhead.place():
        pass


def endpoints(*names, policy="round-robin"):
    return Endpoints("orders", lambda: list(names), policy)


def ask(endpoints, fails=()):
    try:
        with endpoints.address() as address:
            if address in fails:
                raise NotSent("down")
            return address
    except NotSent:
        return None


def test_addresses_take_turns():
    some = endpoints("a", "b", "c")
    assert sorted(ask(some) for _ in range(6)) == ["a", "a", "b", "b", "c", "c"]


def test_the_least_busy_address_is_asked():
    some = endpoints("a", "b", policy="least-connections")
    with some.address() as first, some.address() as second:
        assert {first, second} == {"a", "b"}
        with some.address() as third:
            assert third in "ab"


def test_a_random_address_is_one_of_them():
    some = endpoints("a", "b", policy="random")
    assert {ask(some) for _ in range(50)} == {"a", "b"}


def test_an_address_that_fails_three_times_is_left_out_for_ten_seconds(fake_clock):
    some = endpoints("a", "b")
    for _ in range(6):
        ask(some, fails="a")
    assert {ask(some) for _ in range(6)} == {"b"}
    fake_clock.pass_time(10.1)
    assert {ask(some) for _ in range(6)} == {"a", "b"}


def test_never_more_than_half_are_left_out():
    some = endpoints("a", "b", "c")
    for _ in range(12):
        ask(some, fails="abc")
    assert len({ask(some) for _ in range(9)}) == 2


def test_a_single_address_is_never_left_out():
    some = endpoints("a")
    for _ in range(9):
        ask(some, fails="a")
    assert ask(some) == "a"


def test_addresses_are_resolved_again_and_the_known_ones_serve_where_that_fails(fake_clock):
    answers = [["a"], ["b"], []]
    some = Endpoints("orders", lambda: answers.pop(0))
    assert ask(some) == "a"
    fake_clock.pass_time(5)
    assert ask(some) == "b"
    fake_clock.pass_time(5)
    assert ask(some) == "b"


def test_where_nothing_is_known_nothing_is_sent():
    with pytest.raises(NotSent), endpoints().address():
        pass
