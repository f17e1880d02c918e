"""Retries over real sockets, on a fake clock: which calls are retried, when, and how often."""

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


def test_command_with_key_is_attempted_three_times():
    with stub_server(respond_with(ERROR_RESPONSE)) as (server, caller):
        with pytest.raises(OutcomeUnknown):
            send(caller)
        assert server.request_count == 3


def test_read_only_command_is_retried_without_key():
    with stub_server(respond_with(ERROR_RESPONSE, OK_RESPONSE)) as (_, caller):
        assert send(caller, ReadQuestion(), key="").text == "yes"


def test_fetch_is_retried():
    with stub_server(respond_with(ERROR_RESPONSE, OK_RESPONSE)) as (_, caller):
        assert caller.fetch("stub", "/api/stub", 0.0) == {"text": "yes"}


def test_unknown_outcome_is_not_retried_without_key():
    with stub_server(respond_with(ERROR_RESPONSE, OK_RESPONSE)) as (server, caller):
        with pytest.raises(OutcomeUnknown):
            send(caller, key="")
        assert server.request_count == 1


def test_work_not_attempted_is_retried_without_key():
    with stub_server(respond_with(SHED_RESPONSE, OK_RESPONSE)) as (_, caller):
        assert send(caller, key="").text == "yes"


def test_refused_connection_is_retried_without_key(time):
    with pytest.raises(NotAttempted):
        send(client(closed_address()), key="")
    assert time.monotonic() > 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422])
def test_client_error_is_not_retried(status):
    with stub_server(respond_with(http_response(status, "{}"))) as (server, caller):
        with pytest.raises(NotAttempted):
            send(caller)
        assert server.request_count == 1


@pytest.mark.parametrize("status", [408, 429])
def test_timeout_and_rate_limit_responses_are_retried(status):
    with stub_server(respond_with(http_response(status, "{}"), OK_RESPONSE)) as (_, caller):
        assert send(caller).text == "yes"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_waits_for_retry_after(status, time):
    with stub_server(respond_with(http_response(status, "{}", Retry_After="2"), OK_RESPONSE)) as (_, caller):
        send(caller)
        assert 2 <= time.monotonic() <= 2.1


def test_call_fails_at_once_if_backoff_exceeds_the_deadline(time):
    with stub_server(respond_with(SHED_RESPONSE, OK_RESPONSE)) as (server, caller):
        with pytest.raises(NotAttempted) as shed:
            send(caller, seconds=1.0)
        assert (server.request_count, time.monotonic(), shed.value.retry_after) == (1, 0, 1)


def test_backoff_has_jitter(time):
    waits = []
    for _ in range(20):
        with stub_server(respond_with(ERROR_RESPONSE, OK_RESPONSE)) as (_, caller):
            began = time.monotonic()
            send(caller)
            waits.append(time.monotonic() - began)
    assert max(waits) <= 0.1 and len(set(waits)) == 20


def test_outcome_stays_unknown_after_a_later_shed_attempt():
    with stub_server(respond_with(ERROR_RESPONSE, SHED_RESPONSE)) as (_, caller), pytest.raises(OutcomeUnknown):
        send(caller)


def test_retry_budget_ends_retries_of_shed_requests():
    with stub_server(respond_with(SHED_RESPONSE)) as (server, caller):
        for _ in range(40):
            with pytest.raises(NotAttempted):
                send(caller)
        assert server.request_count == 40 + 10
