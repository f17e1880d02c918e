"""Kept connections: they are used again, and one that is stale or broken never makes a request be sent twice."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chassis.calls import transport
from chassis.calls.outcomes import ResponseTimeout, Unreachable
from chassis.calls.transport import Transport
from chassis.errors import OutcomeUnknown
from tests.faults.stub_server import OK_RESPONSE, StubServer, closed_address, hang, reset, respond_with

THREADS = 3


@pytest.fixture
def connected(monkeypatch):
    """Return the list of all connections made."""
    made = []
    connect = transport._connect
    monkeypatch.setattr(transport, "_connect", lambda *to: made.append(connect(*to)) or made[-1])
    return made


@pytest.fixture
def serve():
    """Return a function that runs a stub server with a behavior."""
    servers = []

    def run(behavior):
        servers.append(StubServer(behavior))
        return servers[-1]

    yield run
    for server in servers:
        server.close()


def ask(kept, server, headers=(), body=b"{}"):
    return kept.exchange("POST", server.address, "/internal/ask", body, dict(headers), 4.0)


def in_turn(*behaviors):
    left = list(behaviors)
    return lambda connection, server: left.pop(0)(connection, server)


def answer_and_close(connection, server):
    connection.sendall(OK_RESPONSE)
    return False


def wait_until_readable(connection):
    connection._poll.poll(10_000)


def test_a_connection_is_used_again(serve, connected):
    kept, server = Transport(THREADS), serve(respond_with(OK_RESPONSE))
    assert [ask(kept, server).status for _ in range(5)] == [200] * 5
    assert (len(connected), server.request_count) == (1, 5)


def test_a_connection_that_the_server_closed_while_idle_is_not_used(serve, connected):
    kept, server = Transport(THREADS), serve(answer_and_close)
    for number in range(3):
        assert ask(kept, server).status == 200
        wait_until_readable(connected[number])
    assert (len(connected), server.request_count) == (3, 3)


def test_what_follows_a_response_is_never_read_as_the_next_one(serve, connected):
    sides = []

    def answer(connection, server):
        sides.append(connection)
        connection.sendall(OK_RESPONSE)

    kept, server = Transport(THREADS), serve(answer)
    ask(kept, server)
    sides[0].sendall(OK_RESPONSE.replace(b"yes", b"old"))
    wait_until_readable(connected[0])
    assert ask(kept, server).content == b'{"text": "yes"}'
    assert len(connected) == 2


@pytest.mark.parametrize("end", [reset, lambda *_: False], ids=["reset", "closed"])
def test_a_kept_connection_that_breaks_after_the_request_leaves_the_outcome_unknown(serve, connected, end):
    kept, server = Transport(THREADS), serve(in_turn(respond_with(OK_RESPONSE), end))
    ask(kept, server)
    with pytest.raises(OutcomeUnknown):
        ask(kept, server)
    assert (len(connected), server.request_count) == (1, 2), "the request was sent again"


def test_a_connection_without_a_response_in_time_is_not_kept(serve, connected):
    kept, server = Transport(THREADS), serve(in_turn(hang, respond_with(OK_RESPONSE)))
    with pytest.raises(ResponseTimeout):
        kept.exchange("POST", server.address, "/", b"", {}, 0.2)
    assert ask(kept, server).status == 200
    assert len(connected) == 2


def test_the_server_may_announce_the_end_of_the_connection(serve, connected):
    closing = OK_RESPONSE.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    kept, server = Transport(THREADS), serve(respond_with(closing))
    assert [ask(kept, server).status for _ in range(2)] == [200, 200]
    assert len(connected) == 2


def test_at_most_one_connection_for_each_thread_is_kept(serve, connected):
    at_once = threading.Barrier(2 * THREADS, timeout=30)

    def answer(connection, server):
        at_once.wait()
        connection.sendall(OK_RESPONSE)

    kept, server = Transport(THREADS), serve(answer)
    with ThreadPoolExecutor(2 * THREADS) as pool:
        list(pool.map(lambda _: ask(kept, server), range(2 * THREADS)))
    assert len(connected) == 2 * THREADS
    assert sum(each.sock is not None for each in connected) == THREADS


def test_connections_to_addresses_that_are_gone_do_not_stay(serve, connected, monkeypatch):
    monkeypatch.setattr(transport, "MAX_ADDRESSES", 2)
    kept, servers = Transport(THREADS), [serve(respond_with(OK_RESPONSE)) for _ in range(3)]
    for server in (servers[0], servers[1], servers[0], servers[2]):
        ask(kept, server)
    assert [each.sock is not None for each in connected] == [True, False, True]


def test_a_header_cannot_hold_another_one(serve, connected):
    kept, server = Transport(THREADS), serve(respond_with(OK_RESPONSE))
    with pytest.raises(OutcomeUnknown):
        ask(kept, server, {"Idempotency-Key": "a\r\nAuthorization: Bearer other"})
    assert server.request_count == 0


def test_a_refused_connection_sends_nothing():
    with pytest.raises(Unreachable):
        Transport(THREADS).exchange("POST", closed_address(), "/", b"", {}, 4.0)
