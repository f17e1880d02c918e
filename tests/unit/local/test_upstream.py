"""The router's connections to a service, against a scripted server: which requests are sent again, and which never?"""

import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from mercato.local import upstream as upstream_module
from mercato.local.upstream import ConnectionLost, ResponseTimeout, Unreachable, Upstream
from tests.system.running import eventually, free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: 1\r\nA: 2\r\n\r\nok"
RESET = b"<reset>"
REQUEST = b"X /a HTTP/1.1\r\nHost: a\r\n\r\n"


class Server:
    """Each connection plays the next script, one response per request, and closes; RESET ends it with a TCP reset."""

    def __init__(self, *scripts: list[bytes]) -> None:
        self.requests = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.closed = threading.Event()
        threading.Thread(target=self._play, args=(scripts,), daemon=True).start()

    def _play(self, scripts: tuple[list[bytes], ...]) -> None:
        for script in scripts:
            connection, _ = self._socket.accept()
            with closing(connection):
                for answer in script:
                    if not connection.recv(65536):
                        break
                    self.requests += 1
                    connection.sendall(answer.removesuffix(RESET))
                    if answer.endswith(RESET):
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.closed.set()
        self._socket.close()


def test_connection_is_reused():
    server = Server([OK, OK, OK])
    upstream = Upstream(server.address, 20)
    assert [upstream.send("GET", REQUEST, b"") for _ in range(3)] == [
        ("200 OK", [("Content-Length", "2"), ("A", "1"), ("A", "2")], b"ok")
    ] * 3


def test_connection_closed_by_the_service_is_not_reused():
    server = Server([OK], [OK])
    upstream = Upstream(server.address, 20)
    upstream.send("POST", REQUEST, b"")
    server.closed.wait(20)
    assert upstream.send("POST", REQUEST, b"")[2] == b"ok"
    assert server.requests == 2


def test_idle_connections_to_an_address_are_bounded(monkeypatch):
    monkeypatch.setattr(upstream_module, "_MAX_IDLE", 2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream = Upstream(f"127.0.0.1:{listener.getsockname()[1]}", 20)
        with ThreadPoolExecutor(5) as requests:
            answers = [requests.submit(upstream.send, "GET", REQUEST, b"") for _ in range(5)]
            connections = [listener.accept()[0] for _ in answers]  # all at once, so that none is reused
            for connection in connections:
                connection.recv(65536)
                connection.sendall(OK)
            assert [answer.result()[2] for answer in answers] == [b"ok"] * 5
        for connection in connections:
            connection.setblocking(False)
        assert eventually(lambda: sum(map(is_closed, connections)) == 3)
        for connection in connections:
            connection.close()


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def test_idempotent_request_is_sent_again_after_a_lost_connection():
    server = Server([OK, b""], [OK])
    upstream = Upstream(server.address, 20)
    upstream.send("GET", REQUEST, b"")
    assert upstream.send("GET", REQUEST, b"")[2] == b"ok"
    assert server.requests == 3


def test_post_that_may_have_been_carried_out_is_not_sent_again():
    server = Server([OK, b""], [OK])
    upstream = Upstream(server.address, 20)
    upstream.send("POST", REQUEST, b"")
    with pytest.raises(ConnectionLost):
        upstream.send("POST", REQUEST, b"")
    assert server.requests == 2


@pytest.mark.parametrize("answer", [b"HTTP/1.1 20", OK[:-1], OK[:-1] + RESET, b"nonsense\r\n\r\n"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request_is_not_sent_again_after_half_a_response(answer, method):
    server = Server([OK, answer], [OK])
    upstream = Upstream(server.address, 20)
    upstream.send(method, REQUEST, b"")
    with pytest.raises(ConnectionLost):
        upstream.send(method, REQUEST, b"")
    assert server.requests == 2


def test_connection_is_not_reused_after_a_response_timeout():
    server = Server([b"HTTP/1.1 200 OK\r\n"] * 2, [OK])
    upstream = Upstream(server.address, 1.0)
    with pytest.raises(ResponseTimeout):
        upstream.send("GET", REQUEST, b"")
    server.closed.wait(20)
    assert upstream.send("GET", REQUEST, b"")[2] == b"ok"


def test_addresses_are_used_in_turn_without_an_unreachable_one():
    one, other = Server([OK] * 4), Server([OK] * 4)
    away = f"127.0.0.1:{free_port()}"
    upstream = Upstream(f"{one.address}|{other.address}|{away}", 2)
    for _ in range(6):
        upstream.send("POST", REQUEST, b"")
    assert sorted((one.requests, other.requests)) == [2, 4]
    with pytest.raises(Unreachable):
        Upstream(away, 2).send("POST", REQUEST, b"")
