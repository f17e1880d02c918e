"""Circuit breaker, retry budget, bulkhead and load balancing on a fake clock."""

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


def test_five_consecutive_failures_open_the_circuit(breaker, states):
    call(breaker, False, 4)
    call(breaker)
    call(breaker, False, 4)
    assert states == []
    call(breaker, False)
    assert states == ["open"]
    assert not breaker.acquire()


def test_failure_rate_of_half_opens_the_circuit(breaker, states):
    for _ in range(9):
        call(breaker, False)
        call(breaker)
    assert states == []
    call(breaker)
    call(breaker, False)
    assert states == ["open"]


def test_failures_outside_the_window_do_not_count(breaker, states, fake_clock):
    for _ in range(9):
        call(breaker, False)
        call(breaker)
    fake_clock.pass_time(11)
    for _ in range(9):
        call(breaker, False)
        call(breaker)
    assert states == []


def test_policy_sets_the_thresholds(states, fake_clock):
    breaker = Breaker(states.append, BreakerPolicy(max_consecutive_failures=2, open_s=30.0, max_open_s=60.0, probes=1))
    call(breaker, False, 2)
    fake_clock.pass_time(23.9)
    assert not breaker.acquire()
    fake_clock.pass_time(12.2)
    call(breaker)
    assert states == ["open", "half-open", "closed"]


def open_circuit(breaker):
    call(breaker, False, 5)


def test_three_successful_probes_close_the_circuit(breaker, states, fake_clock):
    open_circuit(breaker)
    fake_clock.pass_time(2.5)
    *probes, fourth = [breaker.acquire() for _ in range(4)]
    assert all(probes) and not fourth
    for era in probes:
        breaker.record(era, True)
    assert states == ["open", "half-open", "closed"]


def test_failed_probe_doubles_the_open_time_up_to_ten_seconds(breaker, states, fake_clock):
    open_circuit(breaker)
    for pause in (2, 4, 8, 10, 10):
        fake_clock.pass_time(pause * 0.79)
        assert not breaker.acquire(), pause
        fake_clock.pass_time(pause * 0.42)
        era = breaker.acquire()
        assert era, pause
        breaker.record(era, False)
    assert states.count("open") == 6


@pytest.mark.parametrize("succeeded", [True, False])
def test_calls_of_an_earlier_era_do_not_count(breaker, states, fake_clock, succeeded):
    late = [breaker.acquire() for _ in range(3)]
    open_circuit(breaker)
    fake_clock.pass_time(2.5)
    assert breaker.acquire()
    for era in late:
        breaker.record(era, succeeded)
    assert states == ["open", "half-open"]


def test_ten_successes_earn_one_retry():
    budget = RetryBudget("payments")
    while budget.spend():
        pass
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    budget.earn()
    assert budget.spend() and not budget.spend()


def test_full_bulkhead_rejects_the_call():
    bulkhead = Bulkhead("payments", 1)
    with bulkhead.place(), pytest.raises(NotAttempted), bulkhead.place():
        pass
    with bulkhead.place():
        pass


def test_bulkhead_wait_respects_the_deadline():
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


def test_round_robin_alternates_addresses():
    some = endpoints("a", "b", "c")
    assert sorted(ask(some) for _ in range(6)) == ["a", "a", "b", "b", "c", "c"]


def test_least_connections_chooses_the_idle_address():
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


def test_random_policy_uses_all_addresses():
    some = endpoints("a", "b", policy="random")
    assert {ask(some) for _ in range(50)} == {"a", "b"}


def test_address_is_ejected_for_ten_seconds_after_three_failures(fake_clock):
    some = endpoints("a", "b")
    for _ in range(6):
        ask(some, fails="a")
    assert {ask(some) for _ in range(6)} == {"b"}
    fake_clock.pass_time(10.1)
    assert {ask(some) for _ in range(6)} == {"a", "b"}


def test_ejected_address_is_used_if_all_others_refuse():
    some = endpoints("a", "b")
    for _ in range(6):
        ask(some, fails="a")

    def restarting(address):
        if address == "b":
            raise Unreachable("restarting")
        return address

    assert some.call(restarting) == "a"
    assert {ask(some) for _ in range(6)} == {"a", "b"}


def test_at_most_half_of_the_addresses_are_ejected():
    some = endpoints("a", "b", "c")
    for _ in range(12):
        ask(some, fails="abc")
    assert len({ask(some) for _ in range(9)}) == 2


def test_single_address_is_never_ejected():
    some = endpoints("a")
    for _ in range(9):
        ask(some, fails="a")
    assert ask(some) == "a"


def test_spare_is_used_only_while_no_other_is_healthy(fake_clock):
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
    assert {ask(alone) for _ in range(6)} == {"s"}, "the only other address is ejected"
    fake_clock.pass_time(10.1)
    assert {ask(alone) for _ in range(6)} == {"a"}


def test_known_addresses_remain_if_resolving_fails(fake_clock):
    answers = [[["a"]], [["b"]], []]
    some = Endpoints("orders", lambda: answers.pop(0))
    assert ask(some) == "a"
    fake_clock.pass_time(5)
    eventually(lambda: ask(some) == "b")
    fake_clock.pass_time(5)
    ask(some)
    eventually(lambda: not answers)
    assert ask(some) == "b"


def test_first_calls_wait_for_the_first_resolution():
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


def test_later_resolutions_do_not_block_calls(fake_clock):
    over = threading.Event()
    answers = iter((lambda: [["a"]], lambda: over.wait(5) and [["b"]]))
    some = Endpoints("orders", lambda: next(answers)())
    assert ask(some) == "a"
    fake_clock.pass_time(5)
    assert ask(some) == "a"
    over.set()
    eventually(lambda: ask(some) == "b")


def test_call_without_any_address_is_not_attempted():
    with pytest.raises(NotAttempted):
        endpoints().call(lambda address: address)


def test_refused_connection_moves_on_to_the_next_address():
    some = endpoints("a", "b", "c")
    assert [ask(some, fails="ab", error=Unreachable) for _ in range(3)] == ["c"] * 3
    assert ask(some, fails="abc", error=Unreachable) is None


def test_lost_response_does_not_move_on_to_the_next_address():
    some = endpoints("a", "b")
    assert [ask(some, fails="a") for _ in range(2)].count(None) == 1
