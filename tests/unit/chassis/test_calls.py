"""Calls on a fake clock: what opens and closes a breaker, what pays for a retry, who is asked next."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chassis import deadline
from chassis.calls.breaker import Breaker, BreakerPolicy
from chassis.calls.discovery import Endpoints
from chassis.calls.guards import Bulkhead, RetryBudget
from chassis.calls.outcomes import Unreachable
from chassis.errors import DeadlineExceeded, NotAttempted, OutcomeUnknown
from tests.system.running import eventually

pytestmark = pytest.mark.usefixtures("fake_clock")


@pytest.fixture
def states():
    return []


@pytest.fixture
def breaker(states):
    return Breaker(states.append)


def call(breaker, succeeded=True, times=1):
    for _ in range(times):
        if era := breaker.acquire():
            breaker.record(era, succeeded)


def test_five_failures_in_a_row_open_it(breaker, states):
    call(breaker, False, 4)
    call(breaker)
    call(breaker, False, 4)
    assert states == []
    call(breaker, False)
    assert states == ["open"]
    assert not breaker.acquire()


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


def test_an_upstream_may_have_thresholds_of_its_own(states, fake_clock):
    breaker = Breaker(states.append, BreakerPolicy(max_consecutive_failures=2, open_s=30.0, max_open_s=60.0, probes=1))
    call(breaker, False, 2)
    fake_clock.pass_time(23.9)
    assert not breaker.acquire()
    fake_clock.pass_time(12.2)
    call(breaker)
    assert states == ["open", "half-open", "closed"]


def open_it(breaker):
    call(breaker, False, 5)


def test_three_probes_that_succeed_close_it(breaker, states, fake_clock):
    open_it(breaker)
    fake_clock.pass_time(2.5)
    *probes, fourth = [breaker.acquire() for _ in range(4)]
    assert all(probes) and not fourth
    for era in probes:
        breaker.record(era, True)
    assert states == ["open", "half-open", "closed"]


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_ten_seconds(breaker, states, fake_clock):
    open_it(breaker)
    for pause in (2, 4, 8, 10, 10):
        fake_clock.pass_time(pause * 0.79)
        assert not breaker.acquire(), pause
        fake_clock.pass_time(pause * 0.42)
        era = breaker.acquire()
        assert era, pause
        breaker.record(era, False)
    assert states.count("open") == 6


@pytest.mark.parametrize("succeeded", [True, False])
def test_a_call_of_before_it_opened_says_nothing_of_the_callee_as_it_is_now(breaker, states, fake_clock, succeeded):
    late = [breaker.acquire() for _ in range(3)]
    open_it(breaker)
    fake_clock.pass_time(2.5)
    assert breaker.acquire()
    for era in late:
        breaker.record(era, succeeded)
    assert states == ["open", "half-open"]


def test_a_retry_is_paid_for_by_ten_successes():
    budget = RetryBudget("payments")
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
    with bulkhead.place(), pytest.raises(NotAttempted), bulkhead.place():
        pass
    with bulkhead.place():
        pass


def test_who_waits_for_a_place_keeps_the_deadline():
    bulkhead = Bulkhead("payments", 1)
    with bulkhead.place(), deadline.within(0), pytest.raises(DeadlineExceeded), bulkhead.place():
        pass


def endpoints(*names, spare=(), policy="round-robin"):
    return Endpoints("orders", lambda: [list(names), list(spare)], policy)


def ask(endpoints, fails="", error=OutcomeUnknown):
    """The address that was asked, or None where it failed."""

    def once(address):
        if address in fails:
            raise error("down")
        return address

    try:
        return endpoints.call(once)
    except error:
        return None


def test_addresses_take_turns():
    some = endpoints("a", "b", "c")
    assert sorted(ask(some) for _ in range(6)) == ["a", "a", "b", "b", "c", "c"]


def test_the_least_busy_address_is_asked():
    some = endpoints("a", "b", policy="least-connections")
    asked = []

    def once(address):
        asked.append(address)
        if len(asked) < 2:
            some.call(once)

    for _ in range(4):
        asked.clear()
        some.call(once)
        assert set(asked) == {"a", "b"}


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


def test_an_address_that_was_left_out_is_asked_where_all_others_refuse_and_is_back_when_it_answers():
    some = endpoints("a", "b")
    for _ in range(6):
        ask(some, fails="a")

    def restarting(address):
        if address == "b":
            raise Unreachable("restarting")
        return address

    assert some.call(restarting) == "a"
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


def test_a_spare_is_asked_only_where_no_other_is_fit(fake_clock):
    some = endpoints("a", "b", spare=["s"])
    assert {ask(some) for _ in range(6)} == {"a", "b"}

    def gone(address):
        if address != "s":
            raise Unreachable("gone")
        return address

    assert {some.call(gone) for _ in range(3)} == {"s"}
    alone = endpoints("a", spare=["s"])
    for _ in range(3):
        ask(alone, fails="a")
    assert {ask(alone) for _ in range(6)} == {"s"}, "the only other is left out"
    fake_clock.pass_time(10.1)
    assert {ask(alone) for _ in range(6)} == {"a"}


def test_addresses_are_resolved_again_and_the_known_ones_serve_where_that_fails(fake_clock):
    answers = [[["a"]], [["b"]], []]
    some = Endpoints("orders", lambda: answers.pop(0))
    assert ask(some) == "a"
    fake_clock.pass_time(5)
    eventually(lambda: ask(some) == "b")
    fake_clock.pass_time(5)
    ask(some)
    eventually(lambda: not answers)
    assert ask(some) == "b"


def test_who_comes_while_the_first_addresses_are_looked_up_waits_for_them():
    asked, answered = threading.Event(), threading.Event()

    def slowly():
        asked.set()
        answered.wait(5)
        return [["a"]]

    some = Endpoints("orders", slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, some)
        asked.wait(5)
        second = pool.submit(ask, some)
        answered.set()
        assert (first.result(), second.result()) == ("a", "a")


def test_nobody_waits_for_a_name_server_once_an_address_is_known(fake_clock):
    over = threading.Event()
    answers = iter((lambda: [["a"]], lambda: over.wait(5) and [["b"]]))
    some = Endpoints("orders", lambda: next(answers)())
    assert ask(some) == "a"
    fake_clock.pass_time(5)
    assert ask(some) == "a"
    over.set()
    eventually(lambda: ask(some) == "b")


def test_where_nothing_is_known_nothing_is_sent():
    with pytest.raises(NotAttempted):
        endpoints().call(lambda address: address)


def test_a_connection_that_is_refused_leads_to_the_next_address_until_all_have_refused():
    some = endpoints("a", "b", "c")
    assert [ask(some, fails="ab", error=Unreachable) for _ in range(3)] == ["c"] * 3
    assert ask(some, fails="abc", error=Unreachable) is None


def test_a_lost_answer_does_not_lead_to_the_next_address():
    some = endpoints("a", "b")
    assert [ask(some, fails="a") for _ in range(2)].count(None) == 1
