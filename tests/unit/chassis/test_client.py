"""Calls over real sockets: what a caller learns of a callee that answers, drips, hangs, resets, or is not there."""

import socket
import socketserver
import threading
from contextlib import contextmanager

import pytest

from chassis import clock
from chassis.calls import deadline
from chassis.calls.client import Client
from chassis.calls.tokens import ServiceTokens
from chassis.errors import NotSent, Refusal, TooLate, Unknown
from chassis.events.messages import Command
from chassis.wire import Wire


class Ask(Command, patience=1.0):
    question: str = "?"

    class Answer(Wire):
        text: str


Ask.service = "oracle"


def answer(status, body, kind="application/json"):
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


YES = answer(200, '{"text": "yes"}')
NO = answer(409, '{"type": "/problems/not-today", "title": "Not today", "status": 409, "detail": "", "day": "friday"}')


class Oracle(socketserver.ThreadingTCPServer):
    """Answers each connection with what `says` does; counts them."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, says):
        self.asked, self.over = 0, threading.Event()
        oracle = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while self.read_request():
                    oracle.asked += 1
                    if says(self.connection, oracle) is False:
                        return

            def read_request(self):
                head = list(iter(self.rfile.readline, b"\r\n")) if self.rfile.peek(1) else []
                length = [int(line.split()[1]) for line in head if line.lower().startswith(b"content-length:")]
                return head and self.rfile.read(length[0])

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@contextmanager
def oracle(says):
    server = Oracle(says)
    try:
        yield server, client(f"127.0.0.1:{server.server_address[1]}")
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


def client(address):
    tokens = ServiceTokens("tests", "s" * 32, frozenset())
    return Client(tokens, lambda _: lambda: [address], threads=16)


def send(client, attempts=1, seconds=5.0):
    with deadline.within(seconds):
        return client.send(Ask(), "key", attempts)


def test_an_answer_comes_back_as_what_the_command_declares():
    with oracle(lambda conn, _: conn.sendall(YES)) as (_, asking):
        assert send(asking).text == "yes"


def test_a_refusal_comes_back_as_the_callees_own():
    with oracle(lambda conn, _: conn.sendall(NO)) as (server, asking):
        with pytest.raises(Refusal) as refused:
            send(asking, attempts=3)
        assert (refused.value.kind, refused.value.extra, server.asked) == ("not_today", {"day": "friday"}, 1)


def drip(conn, oracle):
    for byte in YES:
        conn.sendall(bytes([byte]))
        if oracle.over.wait(0.1):
            return


def hang(conn, oracle):
    oracle.over.wait(10)


def reset(conn, oracle):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    conn.close()
    return False


@pytest.mark.parametrize("says", [drip, hang], ids=["drips", "hangs"])
def test_the_whole_deadline_is_kept_however_the_answer_comes(says):
    with oracle(says) as (_, asking):
        began = clock.monotonic()
        with pytest.raises(Unknown):
            send(asking, seconds=0.5)
        assert clock.monotonic() - began < 0.75


def test_no_answer_within_the_commands_patience_is_unknown():
    with oracle(hang) as (_, asking):
        began = clock.monotonic()
        with pytest.raises(Unknown):
            send(asking, seconds=30)
        assert clock.monotonic() - began < 1.5


def test_a_connection_that_is_reset_leaves_it_unknown():
    with oracle(reset) as (_, asking), pytest.raises(Unknown):
        send(asking)


def test_where_nobody_listens_nothing_was_sent():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(NotSent):
            send(client(f"127.0.0.1:{nobody.getsockname()[1]}"))


def test_an_unknown_outcome_is_asked_for_again_and_no_more_often_than_allowed():
    with oracle(lambda conn, _: conn.sendall(answer(500, "{}"))) as (server, asking):
        with pytest.raises(Unknown):
            send(asking, attempts=3)
        assert server.asked == 3


def test_the_budget_ends_the_retries_of_what_always_fails():
    with oracle(lambda conn, _: conn.sendall(answer(500, "{}"))) as (server, asking):
        callee = asking._callee("oracle")
        callee.breaker.allows = lambda: True
        for _ in range(20):
            with pytest.raises(Unknown):
                send(asking, attempts=3)
        assert server.asked == 20 + 10


def test_five_failures_open_the_breaker_and_then_nothing_is_sent():
    with oracle(lambda conn, _: conn.sendall(answer(500, "{}"))) as (server, asking):
        for _ in range(5):
            with pytest.raises(Unknown):
                send(asking)
        with pytest.raises(NotSent):
            send(asking)
        assert server.asked == 5


def test_past_the_deadline_nothing_is_sent():
    with oracle(lambda conn, _: conn.sendall(YES)) as (server, asking):
        with pytest.raises(TooLate):
            send(asking, seconds=0)
        assert server.asked == 0
