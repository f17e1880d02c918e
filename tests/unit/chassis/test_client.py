"""Calls over real sockets: what a caller learns of a callee that answers, drips, hangs, resets, or is not there."""

import pytest
from prometheus_client import REGISTRY

from chassis import clock, deadline
from chassis.errors import DeadlineExceeded, DomainError, NotAttempted, OutcomeUnknown
from tests.faults.stub_server import (
    ERROR_RESPONSE,
    OK_RESPONSE,
    REJECTED_RESPONSE,
    SHED_RESPONSE,
    AskQuestion,
    StubServer,
    client,
    closed_address,
    drip,
    hang,
    http_response,
    reset,
    respond_with,
    stub_server,
)


def send(client, attempts=1, seconds=5.0):
    with deadline.within(seconds):
        return client.send(AskQuestion(), "key", attempts)


def test_reply_has_the_type_that_the_command_declares():
    with stub_server(respond_with(OK_RESPONSE)) as (_, asking):
        assert send(asking).text == "yes"


def test_domain_error_of_the_upstream_is_raised():
    with stub_server(respond_with(REJECTED_RESPONSE)) as (server, asking):
        with pytest.raises(DomainError) as refused:
            send(asking, attempts=3)
        assert (refused.value.kind, refused.value.extra, server.request_count) == ("not_today", {"day": "friday"}, 1)


def test_missing_object_is_a_domain_error_and_missing_route_is_not():
    missing = http_response(404, '{"type": "/problems/not-found", "title": "Not found", "status": 404}')
    with stub_server(respond_with(missing, http_response(404, "<html>"))) as (_, asking):
        with pytest.raises(DomainError):
            send(asking)
        with pytest.raises(NotAttempted):
            send(asking)


@pytest.mark.parametrize("says", [drip, hang], ids=["drips", "hangs"])
def test_deadline_bounds_the_whole_exchange(says):
    with stub_server(says) as (_, asking):
        began = clock.monotonic()
        with pytest.raises(OutcomeUnknown):
            send(asking, seconds=0.5)
        assert clock.monotonic() - began < 5


def test_outcome_is_unknown_after_the_timeout_of_the_command():
    with stub_server(hang) as (_, asking):
        began = clock.monotonic()
        with pytest.raises(OutcomeUnknown):
            send(asking, seconds=30)
        assert clock.monotonic() - began < 5


def test_outcome_is_unknown_after_a_connection_reset():
    with stub_server(reset) as (_, asking), pytest.raises(OutcomeUnknown):
        send(asking)


def test_refused_connection_is_not_attempted():
    with pytest.raises(NotAttempted):
        send(client(closed_address()))


def test_no_request_is_sent_after_the_deadline():
    with stub_server(respond_with(OK_RESPONSE)) as (server, asking):
        with pytest.raises(DeadlineExceeded):
            send(asking, seconds=0)
        assert server.request_count == 0


def test_no_call_fails_while_one_of_two_replicas_is_down(fake_clock):
    here, gone = StubServer(respond_with(OK_RESPONSE)), StubServer(respond_with(OK_RESPONSE))
    asking = client(here.address, gone.address)
    try:
        assert {send(asking).text for _ in range(4)} == {"yes"}
        gone.close()
        assert {send(asking).text for _ in range(40)} == {"yes"}
        assert fake_clock.monotonic() == 0  # the other was asked at once
    finally:
        here.close()


def test_domain_errors_do_not_eject_a_replica():
    first, second = StubServer(respond_with(REJECTED_RESPONSE)), StubServer(respond_with(REJECTED_RESPONSE))
    asking = client(first.address, second.address)
    try:
        for _ in range(12):
            with pytest.raises(DomainError):
                send(asking)
        assert first.request_count == second.request_count == 6
    finally:
        first.close()
        second.close()


def test_open_circuit_fails_calls_at_once(fake_clock):
    with stub_server(respond_with(ERROR_RESPONSE)) as (server, asking):
        for _ in range(5):
            with pytest.raises(OutcomeUnknown):
                send(asking)
        with pytest.raises(NotAttempted):
            send(asking, attempts=3)
        assert (server.request_count, fake_clock.monotonic()) == (5, 0)


def test_metrics_show_each_change_of_the_circuit_breaker(fake_clock):
    def shown(name, **labels):
        return REGISTRY.get_sample_value(name, {"server_address": "stub", **labels}) or 0

    before = {
        state: shown("mercato_circuit_breaker_changes_total", state=state) for state in ("open", "half-open", "closed")
    }
    with stub_server(respond_with(*[ERROR_RESPONSE] * 5, OK_RESPONSE)) as (_, asking):
        for _ in range(5):
            with pytest.raises(OutcomeUnknown):
                send(asking)
        assert shown("mercato_circuit_breaker_state") == 2
        fake_clock.pass_time(2.5)
        for _ in range(3):
            send(asking)
        assert shown("mercato_circuit_breaker_state") == 0
    assert all(
        shown("mercato_circuit_breaker_changes_total", state=state) == count + 1 for state, count in before.items()
    )


def test_shed_requests_do_not_open_the_circuit():
    with stub_server(respond_with(SHED_RESPONSE)) as (server, asking):
        for _ in range(30):
            with pytest.raises(NotAttempted):
                send(asking)
        assert server.request_count == 30


def fetch(client, stale=0.0):
    return client.fetch("stub", "/api/stub", stale)


def test_fetch_falls_back_to_a_stale_response(fake_clock):
    counted = REGISTRY.get_sample_value("mercato_http_client_fallbacks_total", {"server_address": "stub"}) or 0
    with stub_server(respond_with(OK_RESPONSE, ERROR_RESPONSE)) as (server, asking):
        assert fetch(asking, stale=60) == {"text": "yes"}
        fake_clock.pass_time(50)
        assert fetch(asking, stale=60) == {"text": "yes"}
        server.close()
        assert fetch(asking, stale=60) == {"text": "yes"}
        assert (
            REGISTRY.get_sample_value("mercato_http_client_fallbacks_total", {"server_address": "stub"}) == counted + 2
        )
        fake_clock.pass_time(10)
        with pytest.raises((OutcomeUnknown, NotAttempted)):
            fetch(asking, stale=60)


def test_fetch_does_not_fall_back_after_a_domain_error():
    missing = http_response(404, '{"type": "/problems/not-found", "title": "Not found", "status": 404}')
    with stub_server(respond_with(OK_RESPONSE, missing)) as (_, asking):
        assert fetch(asking, stale=60) == {"text": "yes"}
        with pytest.raises(DomainError):
            fetch(asking, stale=60)


def test_fetch_keeps_no_response_unless_it_may_be_stale():
    with stub_server(respond_with(OK_RESPONSE, ERROR_RESPONSE)) as (_, asking):
        assert fetch(asking) == {"text": "yes"}
        with pytest.raises(OutcomeUnknown):
            fetch(asking, stale=60)
