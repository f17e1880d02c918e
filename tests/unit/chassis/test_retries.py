"""Retries on a fake clock, over real sockets: what is asked again, when, how often, and at whose expense."""

import pytest

from chassis import deadline
from chassis.errors import NotSent, Unknown
from tests.faults.oracle import BROKEN, SHED, YES, Ask, Look, answer, client, nowhere, oracle, saying


@pytest.fixture(autouse=True)
def time(fake_clock):
    return fake_clock


def send(client, command=None, key="key", seconds=5.0):
    with deadline.within(seconds):
        return client.send(command or Ask(), key, attempts=3)


def test_what_has_a_key_is_asked_again_three_times_in_all():
    with oracle(saying(BROKEN)) as (server, asking):
        with pytest.raises(Unknown):
            send(asking)
        assert server.asked == 3


def test_what_only_reads_is_asked_again_without_a_key():
    with oracle(saying(BROKEN, YES)) as (_, asking):
        assert send(asking, Look(), key="").text == "yes"


def test_a_fetch_is_asked_again_as_any_read():
    with oracle(saying(BROKEN, YES)) as (_, asking):
        assert asking.fetch("oracle", "/api/oracle", 0.0) == {"text": "yes"}


def test_what_may_have_been_done_is_not_repeated_without_a_key():
    with oracle(saying(BROKEN, YES)) as (server, asking):
        with pytest.raises(Unknown):
            send(asking, key="")
        assert server.asked == 1


def test_what_was_certainly_not_done_is_repeated_without_a_key():
    with oracle(saying(SHED, YES)) as (_, asking):
        assert send(asking, key="").text == "yes"


def test_where_nobody_listens_it_is_tried_again_without_a_key(time):
    with pytest.raises(NotSent):
        send(client(nowhere()), key="")
    assert time.monotonic() > 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422])
def test_a_request_that_is_not_taken_as_it_is_is_not_repeated(status):
    with oracle(saying(answer(status, "{}"))) as (server, asking):
        with pytest.raises(NotSent):
            send(asking)
        assert server.asked == 1


@pytest.mark.parametrize("status", [408, 429])
def test_a_request_that_came_at_a_bad_time_is_repeated(status):
    with oracle(saying(answer(status, "{}"), YES)) as (_, asking):
        assert send(asking).text == "yes"


@pytest.mark.parametrize("status", [429, 503])
def test_no_retry_comes_before_the_callee_wants_it(status, time):
    with oracle(saying(answer(status, "{}", Retry_After="2"), YES)) as (_, asking):
        send(asking)
        assert 2 <= time.monotonic() <= 2.1


def test_a_wait_that_does_not_fit_in_the_deadline_ends_the_call_at_once(time):
    with oracle(saying(SHED, YES)) as (server, asking):
        with pytest.raises(NotSent) as shed:
            send(asking, seconds=1.0)
        assert (server.asked, time.monotonic(), shed.value.retry_after) == (1, 0, 1)


def test_the_waits_grow_and_are_never_the_same(time):
    waits = []
    for _ in range(20):
        with oracle(saying(BROKEN, YES)) as (_, asking):
            began = time.monotonic()
            send(asking)
            waits.append(time.monotonic() - began)
    assert max(waits) <= 0.1 and len(set(waits)) == 20


def test_what_one_try_has_left_unknown_stays_unknown():
    with oracle(saying(BROKEN, SHED)) as (_, asking), pytest.raises(Unknown):
        send(asking)


def test_the_budget_ends_the_retries_and_a_shed_request_earns_none():
    with oracle(saying(SHED)) as (server, asking):
        for _ in range(40):
            with pytest.raises(NotSent):
                send(asking)
        assert server.asked == 40 + 10
