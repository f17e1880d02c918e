"""Calls over real sockets to an upstream that responds, responds slowly, hangs, resets the connection, or is down."""

import pytest
from prometheus_client import REGISTRY

from chassis import clock, deadline
from chassis.calls.outcomes import NotServed
from chassis.errors import DeadlineExceeded, DomainError, NotAttempted, OutcomeUnknown
from tests.faults.stub_server import (
    ERROR_RESPONSE,
    OK_RESPONSE,
    REJECTED_RESPONSE,
    SHED_RESPONSE,
    AskQuestion,
    ReadQuestion,
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
    with stub_server(respond_with(OK_RESPONSE)) as (_, caller):
        assert send(caller).text == "yes"


def test_domain_error_of_the_upstream_is_raised():
    with stub_server(respond_with(REJECTED_RESPONSE)) as (server, caller):
        with pytest.raises(DomainError) as caught:
            send(caller, attempts=3)
        assert (caught.value.kind, caught.value.extra, server.request_count) == ("not_today", {"day": "friday"}, 1)


def test_missing_object_is_a_domain_error_and_missing_route_is_not():
    missing = http_response(404, '{"type": "/problems/not-found", "title": "Not found", "status": 404}')
    with stub_server(respond_with(missing, http_response(404, "<html>"))) as (_, caller):
        with pytest.raises(DomainError):
            send(caller)
        with pytest.raises(NotAttempted):
            send(caller)


@pytest.mark.parametrize("behavior", [drip, hang], ids=["drips", "hangs"])
def test_deadline_bounds_the_whole_exchange(behavior):
    with stub_server(behavior) as (_, caller):
        began = clock.monotonic()
        with pytest.raises(OutcomeUnknown):
            send(caller, seconds=0.5)
        assert clock.monotonic() - began < 5


def test_outcome_is_unknown_after_the_timeout_of_the_command():
    with stub_server(hang) as (_, caller):
        began = clock.monotonic()
        with pytest.raises(OutcomeUnknown):
            send(caller, seconds=30)
        assert clock.monotonic() - began < 5


def test_outcome_is_unknown_after_a_connection_reset():
    with stub_server(reset) as (_, caller), pytest.raises(OutcomeUnknown):
        send(caller)


def test_refused_connection_is_not_attempted():
    with pytest.raises(NotAttempted):
        send(client(closed_address()))


def test_no_request_is_sent_after_the_deadline():
    with stub_server(respond_with(OK_RESPONSE)) as (server, caller):
        with pytest.raises(DeadlineExceeded):
            send(caller, seconds=0)
        assert server.request_count == 0


def test_no_call_fails_while_one_of_two_replicas_is_down(fake_clock):
    here, gone = StubServer(respond_with(OK_RESPONSE)), StubServer(respond_with(OK_RESPONSE))
    caller = client(here.address, gone.address)
    try:
        assert {send(caller).text for _ in range(4)} == {"yes"}
        gone.close()
        assert {send(caller).text for _ in range(40)} == {"yes"}
        assert fake_clock.monotonic() == 0  # the other replica was called at once
    finally:
        here.close()


def test_no_call_fails_while_one_of_two_replicas_lacks_the_route(fake_clock):
    """As during an upgrade, when one of them is of the release before."""
    old, new = StubServer(respond_with(http_response(404, "{}"))), StubServer(respond_with(OK_RESPONSE))
    both, old_alone, old_and_gone = (client(old.address, *more) for more in ((new.address,), (), (closed_address(),)))
    try:
        assert {send(both).text for _ in range(4)} == {"yes"}
        assert old.request_count and fake_clock.monotonic() == 0  # the other replica was called at once
        with pytest.raises(NotServed):
            send(old_alone)
        for _ in range(2):
            with pytest.raises(NotAttempted) as caught:
                send(old_and_gone)
            assert not isinstance(caught.value, NotServed)  # the one that is gone may serve it
    finally:
        old.close()
        new.close()


def test_domain_errors_do_not_eject_a_replica():
    first, second = StubServer(respond_with(REJECTED_RESPONSE)), StubServer(respond_with(REJECTED_RESPONSE))
    caller = client(first.address, second.address)
    try:
        for _ in range(12):
            with pytest.raises(DomainError):
                send(caller)
        assert first.request_count == second.request_count == 6
    finally:
        first.close()
        second.close()


def test_open_circuit_fails_calls_at_once(fake_clock):
    with stub_server(respond_with(ERROR_RESPONSE)) as (server, caller):
        for _ in range(5):
            with pytest.raises(OutcomeUnknown):
                send(caller)
        with pytest.raises(NotAttempted):
            send(caller, attempts=3)
        assert (server.request_count, fake_clock.monotonic()) == (5, 0)


def test_metrics_show_each_change_of_the_circuit_breaker(fake_clock):
    def value(name, **labels):
        return REGISTRY.get_sample_value(name, {"server_address": "stub", **labels}) or 0

    before = {
        state: value("mercato_circuit_breaker_changes_total", state=state) for state in ("open", "half-open", "closed")
    }
    with stub_server(respond_with(*[ERROR_RESPONSE] * 5, OK_RESPONSE)) as (_, caller):
        for _ in range(5):
            with pytest.raises(OutcomeUnknown):
                send(caller)
        assert value("mercato_circuit_breaker_state") == 2
        fake_clock.pass_time(2.5)
        for _ in range(3):
            send(caller)
        assert value("mercato_circuit_breaker_state") == 0
    assert all(
        value("mercato_circuit_breaker_changes_total", state=state) == count + 1 for state, count in before.items()
    )


def test_shed_requests_do_not_open_the_circuit():
    with stub_server(respond_with(SHED_RESPONSE)) as (server, caller):
        for _ in range(30):
            with pytest.raises(NotAttempted):
                send(caller)
        assert server.request_count == 30


def fetch(client, stale=0.0):
    return client.fetch("stub", "/api/stub", stale)


def test_fetch_falls_back_to_a_stale_response(fake_clock):
    counted = REGISTRY.get_sample_value("mercato_http_client_fallbacks_total", {"server_address": "stub"}) or 0
    with stub_server(respond_with(OK_RESPONSE, ERROR_RESPONSE)) as (server, caller):
        assert fetch(caller, stale=60) == {"text": "yes"}
        fake_clock.pass_time(50)
        assert fetch(caller, stale=60) == {"text": "yes"}
        server.close()
        assert fetch(caller, stale=60) == {"text": "yes"}
        assert (
            REGISTRY.get_sample_value("mercato_http_client_fallbacks_total", {"server_address": "stub"}) == counted + 2
        )
        fake_clock.pass_time(10)
        with pytest.raises((OutcomeUnknown, NotAttempted)):
            fetch(caller, stale=60)


def test_fetch_does_not_fall_back_after_a_domain_error():
    missing = http_response(404, '{"type": "/problems/not-found", "title": "Not found", "status": 404}')
    with stub_server(respond_with(OK_RESPONSE, missing)) as (_, caller):
        assert fetch(caller, stale=60) == {"text": "yes"}
        with pytest.raises(DomainError):
            fetch(caller, stale=60)


def test_fetch_keeps_no_response_unless_it_may_be_stale():
    with stub_server(respond_with(OK_RESPONSE, ERROR_RESPONSE)) as (_, caller):
        assert fetch(caller) == {"text": "yes"}
        with pytest.raises(OutcomeUnknown):
            fetch(caller, stale=60)


def test_read_only_command_falls_back_to_its_own_stale_reply(fake_clock):
    with stub_server(respond_with(OK_RESPONSE, ERROR_RESPONSE)) as (_, caller):
        assert caller.send(ReadQuestion(question="one"), "", 1, 60).text == "yes"
        assert caller.send(ReadQuestion(question="one"), "", 1, 60).text == "yes"
        with pytest.raises(OutcomeUnknown):
            caller.send(ReadQuestion(question="another"), "", 1, 60)
        fake_clock.pass_time(61)
        with pytest.raises(OutcomeUnknown):
            caller.send(ReadQuestion(question="one"), "", 1, 60)


def test_command_that_changes_data_has_no_stale_reply():
    with stub_server(respond_with(OK_RESPONSE)) as (_, caller), pytest.raises(ValueError, match="read-only"):
        caller.send(AskQuestion(question="one"), "k", 1, 60)
