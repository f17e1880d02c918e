"""Retries on a fake clock, over real sockets: what is asked again, when, how often, and at whose expense."""

import pytest

from chassis import deadline
from chassis.errors import NotAttempted, OutcomeUnknown
from tests.faults.stub_server import (
    ERROR_RESPONSE,
    OK_RESPONSE,
    SHED_RESPONSE,
    AskQuestion,
    ReadQuestion,
    client,
    closed_address,
    http_response,
    respond_with,
    stub_server,
)


@pytest.fixture(autouse=True)
def time(fake_clock):
    return fake_clock


def send(client, command=None, key="key", seconds=5.0):
    with deadline.within(seconds):
        return client.send(command or AskQuestion(), key, attempts=3)


def test_what_has_a_key_is_asked_again_three_times_in_all():
    with stub_server(respond_with(ERROR_RESPONSE)) as (server, asking):
        with pytest.raises(OutcomeUnknown):
            send(asking)
        assert server.request_count == 3


def test_what_only_reads_is_asked_again_without_a_key():
    with stub_server(respond_with(ERROR_RESPONSE, OK_RESPONSE)) as (_, asking):
        assert send(asking, ReadQuestion(), key="").text == "yes"


def test_a_fetch_is_asked_again_as_any_read():
    with stub_server(respond_with(ERROR_RESPONSE, OK_RESPONSE)) as (_, asking):
        assert asking.fetch("stub", "/api/stub", 0.0) == {"text": "yes"}


def test_what_may_have_been_done_is_not_repeated_without_a_key():
    with stub_server(respond_with(ERROR_RESPONSE, OK_RESPONSE)) as (server, asking):
        with pytest.raises(OutcomeUnknown):
            send(asking, key="")
        assert server.request_count == 1


def test_what_was_certainly_not_done_is_repeated_without_a_key():
    with stub_server(respond_with(SHED_RESPONSE, OK_RESPONSE)) as (_, asking):
        assert send(asking, key="").text == "yes"


def test_where_nobody_listens_it_is_tried_again_without_a_key(time):
    with pytest.raises(NotAttempted):
        send(client(closed_address()), key="")
    assert time.monotonic() > 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422])
def test_a_request_that_is_not_taken_as_it_is_is_not_repeated(status):
    with stub_server(respond_with(http_response(status, "{}"))) as (server, asking):
        with pytest.raises(NotAttempted):
            send(asking)
        assert server.request_count == 1


@pytest.mark.parametrize("status", [408, 429])
def test_a_request_that_came_at_a_bad_time_is_repeated(status):
    with stub_server(respond_with(http_response(status, "{}"), OK_RESPONSE)) as (_, asking):
        assert send(asking).text == "yes"


@pytest.mark.parametrize("status", [429, 503])
def test_no_retry_comes_before_the_callee_wants_it(status, time):
    with stub_server(respond_with(http_response(status, "{}", Retry_After="2"), OK_RESPONSE)) as (_, asking):
        send(asking)
        assert 2 <= time.monotonic() <= 2.1


def test_a_wait_that_does_not_fit_in_the_deadline_ends_the_call_at_once(time):
    with stub_server(respond_with(SHED_RESPONSE, OK_RESPONSE)) as (server, asking):
        with pytest.raises(NotAttempted) as shed:
            send(asking, seconds=1.0)
        assert (server.request_count, time.monotonic(), shed.value.retry_after) == (1, 0, 1)


def test_the_waits_grow_and_are_never_the_same(time):
    waits = []
    for _ in range(20):
        with stub_server(respond_with(ERROR_RESPONSE, OK_RESPONSE)) as (_, asking):
            began = time.monotonic()
            send(asking)
            waits.append(time.monotonic() - began)
    assert max(waits) <= 0.1 and len(set(waits)) == 20


def test_what_one_try_has_left_unknown_stays_unknown():
    with stub_server(respond_with(ERROR_RESPONSE, SHED_RESPONSE)) as (_, asking), pytest.raises(OutcomeUnknown):
        send(asking)


def test_the_budget_ends_the_retries_and_a_shed_request_earns_none():
    with stub_server(respond_with(SHED_RESPONSE)) as (server, asking):
        for _ in range(40):
            with pytest.raises(NotAttempted):
                send(asking)
        assert server.request_count == 40 + 10
