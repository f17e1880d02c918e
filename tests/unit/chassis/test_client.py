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


def test_an_answer_comes_back_as_what_the_command_declares():
    with stub_server(respond_with(OK_RESPONSE)) as (_, asking):
        assert send(asking).text == "yes"


def test_a_refusal_comes_back_as_the_callees_own():
    with stub_server(respond_with(REJECTED_RESPONSE)) as (server, asking):
        with pytest.raises(DomainError) as refused:
            send(asking, attempts=3)
        assert (refused.value.kind, refused.value.extra, server.request_count) == ("not_today", {"day": "friday"}, 1)


def test_a_missing_object_is_a_refusal_and_a_missing_route_is_not():
    missing = http_response(404, '{"type": "/problems/not-found", "title": "Not found", "status": 404}')
    with stub_server(respond_with(missing, http_response(404, "<html>"))) as (_, asking):
        with pytest.raises(DomainError):
            send(asking)
        with pytest.raises(NotAttempted):
            send(asking)


@pytest.mark.parametrize("says", [drip, hang], ids=["drips", "hangs"])
def test_the_whole_deadline_is_kept_however_the_answer_comes(says):
    with stub_server(says) as (_, asking):
        began = clock.monotonic()
        with pytest.raises(OutcomeUnknown):
            send(asking, seconds=0.5)
        assert clock.monotonic() - began < 5


def test_no_answer_within_the_commands_patience_is_unknown():
    with stub_server(hang) as (_, asking):
        began = clock.monotonic()
        with pytest.raises(OutcomeUnknown):
            send(asking, seconds=30)
        assert clock.monotonic() - began < 5


def test_a_connection_that_is_reset_leaves_it_unknown():
    with stub_server(reset) as (_, asking), pytest.raises(OutcomeUnknown):
        send(asking)


def test_where_nobody_listens_nothing_was_sent():
    with pytest.raises(NotAttempted):
        send(client(closed_address()))


def test_past_the_deadline_nothing_is_sent():
    with stub_server(respond_with(OK_RESPONSE)) as (server, asking):
        with pytest.raises(DeadlineExceeded):
            send(asking, seconds=0)
        assert server.request_count == 0


def test_of_two_replicas_one_is_gone_and_no_call_fails(fake_clock):
    here, gone = StubServer(respond_with(OK_RESPONSE)), StubServer(respond_with(OK_RESPONSE))
    asking = client(here.address, gone.address)
    try:
        assert {send(asking).text for _ in range(4)} == {"yes"}
        gone.close()
        assert {send(asking).text for _ in range(40)} == {"yes"}
        assert fake_clock.monotonic() == 0  # the other was asked at once
    finally:
        here.close()


def test_a_replica_that_refuses_for_good_reasons_goes_on_to_be_asked():
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


def test_five_failures_open_the_breaker_and_then_nothing_is_sent_or_waited_for(fake_clock):
    with stub_server(respond_with(ERROR_RESPONSE)) as (server, asking):
        for _ in range(5):
            with pytest.raises(OutcomeUnknown):
                send(asking)
        with pytest.raises(NotAttempted):
            send(asking, attempts=3)
        assert (server.request_count, fake_clock.monotonic()) == (5, 0)


def test_each_change_of_a_breaker_is_counted_and_shown(fake_clock):
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


def test_who_sheds_is_not_cut_off():
    with stub_server(respond_with(SHED_RESPONSE)) as (server, asking):
        for _ in range(30):
            with pytest.raises(NotAttempted):
                send(asking)
        assert server.request_count == 30


def fetch(client, stale=0.0):
    return client.fetch("stub", "/api/stub", stale)


def test_an_answer_that_may_be_stale_stands_in_while_the_callee_cannot_be_asked(fake_clock):
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


def test_what_is_not_there_any_more_is_not_answered_from_memory():
    missing = http_response(404, '{"type": "/problems/not-found", "title": "Not found", "status": 404}')
    with stub_server(respond_with(OK_RESPONSE, missing)) as (_, asking):
        assert fetch(asking, stale=60) == {"text": "yes"}
        with pytest.raises(DomainError):
            fetch(asking, stale=60)


def test_an_answer_is_not_kept_unless_it_may_be_stale():
    with stub_server(respond_with(OK_RESPONSE, ERROR_RESPONSE)) as (_, asking):
        assert fetch(asking) == {"text": "yes"}
        with pytest.raises(OutcomeUnknown):
            fetch(asking, stale=60)
