"""Bytes that no client library would send, to a service and to the router in front of it."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hostile.actors import Actors
from tests.hostile.connection import Connection

HEAD = b"GET /api/orders/health HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
CLOSE = b"Connection: close\r\n\r\n"
SMUGGLED = b"GET /api/smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=["router", "users", "orders"])
def port(actors: Actors, request: pytest.FixtureRequest) -> int:
    """The port of the router, or of one of two services."""
    kind = "router" if request.param == "router" else "web"
    return int(actors.shop.process(request.param, kind)["port"])


def exchange(port: int, raw: bytes, half_close: bool = False, timeout_s: float = 15) -> list[tuple[int, bytes]]:
    """Send bytes and return (status, response) of every response until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(raw)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b"".join(_until_closed(connection))
    return [(int(part[:3]), part) for part in re.split(rb"HTTP/1\.\d ", received)[1:]]


def _until_closed(connection: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return
        if not piece:
            return
        yield piece


def test_options_of_the_whole_server_name_its_methods(port: int) -> None:
    ((status, response),) = exchange(port, b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, body = response.partition(b"\r\n\r\n")
    assert (status, body) == (204, b"")
    assert b"\r\nAllow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT" in head
    assert [status for status, _ in exchange(port, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n")] == [400]


INVALID_HEADS = {
    "a lone CR in a field": HEAD + b"X: a\rb\r\n" + CLOSE,
    "a lone LF in a field": HEAD + b"X: a\nContent-Length: 9\r\n" + CLOSE,
    "NUL in a value": HEAD + b"X: a\0b\r\n" + CLOSE,
    "NUL in a name": HEAD + b"X\0: b\r\n" + CLOSE,
    "an escape in a value": HEAD + b"X: \x1b[31m\r\n" + CLOSE,
    "a folded line": HEAD + b"X: a\r\n b\r\n" + CLOSE,
    "a space before the colon": HEAD + b"X : b\r\n" + CLOSE,
    "a space before the first field": b"GET /api/orders/health HTTP/1.1\r\n Host: a\r\n" + CLOSE,
    "a field without a name": HEAD + b": x\r\n" + CLOSE,
    "a line without a colon": HEAD + b"novalue\r\n" + CLOSE,
    "a length with a sign": POST + b"Content-Length: +5\r\n" + CLOSE + b"abcde",
    "a length that is a list": POST + b"Content-Length: 5, 5\r\n" + CLOSE + b"abcde",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n" + CLOSE + b"abcde",
    "a length in hexadecimal": POST + b"Content-Length: 0x5\r\n" + CLOSE + b"abcde",
    "a length with a gap": POST + b"Content-Length: 1_0\r\n" + CLOSE + b"abcde",
    "no length at all": POST + b"Content-Length: \r\n" + CLOSE,
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" + CLOSE + b"0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked, chunked\r\n" + CLOSE + b"0\r\n\r\n",
    "chunks and then none": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"
    + CLOSE
    + b"0\r\n\r\n",
    "chunks behind a tab": POST + b"Transfer-Encoding: \x0bchunked\r\n" + CLOSE + b"0\r\n\r\n",
    "a space before the colon of chunks": POST + b"Transfer-Encoding : chunked\r\n" + CLOSE + b"0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /api/users HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"0\r\n\r\n",
    "HTTP/0.9": b"GET /api/orders/health\r\n\r\n",
    "HTTP/2.0": b"GET /api/orders/health HTTP/2.0\r\nHost: a\r\n" + CLOSE,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "no HTTP": b"GET /api/orders/health HTTP/1.1x\r\nHost: a\r\n" + CLOSE,
    "a method in lower case": b"get /api/orders/health HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a method without end": b"X" * 100 + b" /api/orders/health HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "an address that is none": b"GET http://[ HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "an address without a slash": b"GET api/orders/health HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a backslash": b"GET \\api\\orders HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a space in the address": b"GET /api/orders/health x HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "tabs for spaces": b"GET\t/api/orders/health\tHTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "bytes in the address": b"GET /api/orders/\xff\xfe HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "the PROXY protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + HEAD + CLOSE,
    "two hosts": HEAD + b"Host: b\r\n" + CLOSE,
    "no host": b"GET /api/orders/health HTTP/1.1\r\n" + CLOSE,
    "no host but in the address": b"GET http://a/api/orders/health HTTP/1.1\r\n" + CLOSE,
    "a host that is none": b"GET /api/orders/health HTTP/1.1\r\nHost: a/b\r\n" + CLOSE,
    "a list of hosts": b"GET /api/orders/health HTTP/1.1\r\nHost: a, b\r\n" + CLOSE,
    "an address of another scheme": b"GET ftp://a/api/orders/health HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "an address with a user": b"GET http://u:p@a/api/orders/health HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "an address without a host": b"GET http:///api/orders/health HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a tunnel": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a coding behind the chunks": POST + b"Transfer-Encoding: chunked, gzip\r\n" + CLOSE + b"0\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding: , chunked\r\n" + CLOSE + b"0\r\n\r\n",
}

UNKNOWN_CODINGS = [b"gzip, chunked", b"gzip", b"xchunked", b"deflate, chunked", b"identity, chunked", b"br"]

INVALID_CHUNKS = {
    "no size": b"\r\n{}\r\n0\r\n\r\n",
    "a size that is none": b"zz\r\n{}\r\n0\r\n\r\n",
    "a size with 0x": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size with a gap": b"0_2\r\n{}\r\n0\r\n\r\n",
    "a size behind a space": b" 2\r\n{}\r\n0\r\n\r\n",
    "a size below zero": b"-2\r\n{}\r\n0\r\n\r\n",
    "a chunk that goes on": b"2\r\n{}XX0\r\n\r\n",
    "a line feed in an extension": b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a length behind the chunks": b"2\r\n{}\r\n0\r\nContent-Length: 5\r\nAuthorization: x\r\n\r\n",
}


@pytest.mark.parametrize("raw", INVALID_HEADS.values(), ids=INVALID_HEADS)
def test_invalid_head_is_rejected_and_the_rest_ignored(port: int, raw: bytes) -> None:
    got = exchange(port, raw + SMUGGLED)
    assert [status for status, _ in got] == [400]
    assert b"application/problem+json" in got[0][1]


@pytest.mark.parametrize("coding", UNKNOWN_CODINGS)
def test_unknown_transfer_coding_is_not_implemented(port: int, coding: bytes) -> None:
    got = exchange(port, POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n" + SMUGGLED)
    assert [status for status, _ in got] == [501]
    assert b"application/problem+json" in got[0][1]


def test_absolute_address_leads_to_the_same_route(actors: Actors) -> None:
    for port in (actors.shop.port, int(actors.shop.process("orders", "web")["port"])):
        for address, status in (
            ("http://a/api/orders/health", 200),
            ("http://a/internal/charge", 404),
            ("http://a", 200 if port == actors.shop.port else 404),
            ("http://a/nothing", 404),
        ):
            assert [got for got, _ in exchange(port, f"GET {address} HTTP/1.1\r\nHost: b\r\n".encode() + CLOSE)] == [
                status
            ]


@pytest.mark.parametrize("raw", INVALID_CHUNKS.values(), ids=INVALID_CHUNKS)
def test_invalid_chunks_are_rejected_and_the_rest_ignored(port: int, raw: bytes) -> None:
    got = exchange(port, CHUNKED.replace(b"Connection: close\r\n", b"") + raw + SMUGGLED)
    assert [status for status, _ in got] == [400]
    assert b"application/problem+json" in got[0][1]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /api/orders/" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n" + CLOSE, 414),
        (HEAD + b"X: " + b"a" * 8_200 + b"\r\n" + CLOSE, 431),
        (HEAD + b"X" * 8_200 + b": a\r\n" + CLOSE, 431),
        (HEAD + b"X: a\r\n" * 101 + CLOSE, 431),
        (HEAD + b"Authorization: Bearer " + b"a" * 100_000 + b"\r\n" + CLOSE, 431),
        (POST + b"Content-Length: 999999999999999999\r\n" + CLOSE, 413),
        (POST + b"Content-Length: " + b"9" * 40 + b"\r\n" + CLOSE, 413),
        (POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"f" * 40 + b"\r\n", 413),
        (POST + b"Expect: 200-maybe\r\nContent-Length: 2\r\n" + CLOSE + b"{}", 417),
    ],
    ids=["line", "value", "name", "fields", "token", "length", "endless length", "chunk", "expectation"],
)
def test_too_large_request_is_rejected_before_it_is_complete(port: int, raw: bytes, status: int) -> None:
    got = exchange(port, raw)
    assert [each for each, _ in got] == [status]
    assert b"application/problem+json" in got[0][1]


@pytest.mark.parametrize("fields", [b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", b"Upgrade: websocket\r\n"])
def test_upgrade_is_ignored(port: int, fields: bytes) -> None:
    first, second = exchange(port, HEAD + fields + b"Connection: Upgrade\r\n\r\n" + HEAD + CLOSE)
    assert first[0] in (200, 400, 404)
    assert second[0] in (200, 404)


@pytest.mark.parametrize("fields", [b"Content_Length: 9\r\nTransfer_Encoding: chunked\r\n", b"CONTENT_LENGTH: 9\r\n"])
def test_header_with_underscore_does_not_replace_another(actors: Actors, fields: bytes) -> None:
    raw = HEAD + fields + b"\r\n" + HEAD + CLOSE
    assert [status for status, _ in exchange(actors.shop.port, raw)] == [200, 200]


def test_pipelined_requests_get_their_own_responses(actors: Actors) -> None:
    asked = b"GET /api/users/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
    both = [asked % person.token.encode() for person in (actors.owner, actors.other)]
    got = exchange(actors.shop.port, both[0] + b"\r\n" + both[1] + CLOSE)
    assert [status for status, _ in got] == [200, 200]
    own, others = (actors.owner, actors.other), (actors.other, actors.owner)
    for (_, response), person, another in zip(got, own, others, strict=True):
        assert person.id.encode() in response
        assert not any(canary in response for canary in another.canaries)


def test_bytes_after_a_body_never_join_another_request(actors: Actors) -> None:
    victim = Connection(actors.shop.port)
    for _ in range(20):
        got = exchange(actors.shop.port, POST + b"Content-Length: 2\r\n\r\n{}" + b"}garbage" + SMUGGLED)
        assert [status for status, _ in got] == [422, 400]
        got = exchange(actors.shop.port, POST + b"Content-Length: 2\r\n\r\n{}" + SMUGGLED)
        assert [status for status, _ in got] == [422, 404]
        assert victim.ask("GET", "/api/orders/health", {}).status == 200


@pytest.mark.parametrize("sent", [b"", b"{", b'{"email": "a'])
def test_client_that_stops_sending_is_dropped(port: int, sent: bytes) -> None:
    begun = time.monotonic()
    assert exchange(port, POST + b"Content-Length: 100\r\n\r\n" + sent, half_close=True) == []
    assert time.monotonic() - begun < 9


def test_half_closed_client_gets_its_response(port: int) -> None:
    (response,) = exchange(port, HEAD + b"\r\n", half_close=True)
    assert response[0] in (200, 404)


def test_slow_and_unresponsive_clients_delay_no_other(actors: Actors) -> None:
    port = int(actors.shop.process("users", "web")["port"])
    begun = time.monotonic()
    starts = [
        b"GET /api/users/me HTTP/1.1\r\nHost: ",
        POST + b"Content-Length: 9\r\n\r\nab",
        POST + b"Content-Length: 0000000000000000000009\r\n\r\nab",
        CHUNKED + b"5\r\nab",
        b"\x16\x03\x01\x00\xc4" + b"a" * 50,
    ]
    slow = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(60)]
    for number, connection in enumerate(slow):
        connection.sendall(starts[number % len(starts)])
    deaf = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(20)]
    asked = b"GET /api/auth/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n" * 400
    with ThreadPoolExecutor(len(deaf)) as talking:
        talking.map(lambda connection: _push(connection, asked), deaf)
        dripping = threading.Thread(target=_drip, args=(slow[0], begun + 60))
        dripping.start()
        connection, answered = Connection(port), 0
        while time.monotonic() < begun + 8:
            assert (
                connection.ask("GET", "/api/users/me", {"Authorization": f"Bearer {actors.owner.token}"}).status == 200
            )
            answered += time.monotonic() < begun + 9
        assert answered
        cut = [b"".join(_until_closed(connection))[:12] for connection in slow[:5]]
        assert cut == [b"HTTP/1.1 408"] * 5
        assert 9 < time.monotonic() - begun < 50
        for connection in (*slow, *deaf):
            connection.close()
        dripping.join()


def _push(connection: socket.socket, raw: bytes) -> None:
    try:
        connection.sendall(raw)
    except OSError:
        return  # the server closed it, as it should


def _drip(connection: socket.socket, until: float) -> None:
    """Send a byte now and then: the client stays as slow as one that sends none."""
    gone = threading.Event()
    while time.monotonic() < until and not gone.wait(0.5):
        try:
            connection.send(b"a")
        except OSError:
            return


def test_router_drops_forwarding_deadline_and_trace_headers(actors: Actors) -> None:
    """A client cannot set its address, deadline or trace."""
    trace = "1" * 32
    headers = {
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Real-Ip": "6.6.6.6",
        "X-Deadline-Ms": "1",
        "Traceparent": f"00-{trace}-{'2' * 16}-01",
        "Authorization": f"Bearer {actors.owner.token}",
    }
    answer = Connection(actors.shop.port).ask("GET", "/api/users/me", headers)
    assert answer.status == 200
    assert answer.headers["X-Trace-Id"] != trace
    for hostile in ("-1", "1e9", "9" * 400, "\u00b2", "NaN"):
        headers |= {"X-Deadline-Ms": hostile, "Traceparent": hostile, "X-Request-Id": hostile * 9}
        assert Connection(actors.shop.port).ask("GET", "/api/users/me", headers).status == 200


@pytest.mark.parametrize(
    "path", ["/internal/check-buyer", "/internal/charge", "/metrics", "/livez", "/debug", "/console"]
)
def test_internal_routes_are_not_reachable(actors: Actors, path: str) -> None:
    for token in ("", actors.admin.token, actors.rejected_tokens["of users"]):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        for method in ("GET", "POST"):
            assert not actors.connection.ask(method, path, headers, b"{}" if method == "POST" else None).mismatch(404)


def test_client_that_resets_during_a_response_harms_no_other(actors: Actors) -> None:
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", actors.shop.port), timeout=30) as connection:
            connection.sendall(b"GET /api/products?limit=100 HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection = http.client.HTTPConnection("127.0.0.1", actors.shop.port, timeout=30)
    connection.request("GET", "/api/products?limit=1")
    assert connection.getresponse().status == 200
    connection.close()
