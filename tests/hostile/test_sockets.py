"""Bytes that no client library would send, straight at a service and at the router before it."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hostile.cast import Cast
from tests.hostile.line import Line

OPEN = b"GET /api/orders/health HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
LAST = b"Connection: close\r\n\r\n"
SECOND = b"GET /api/smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=["router", "users", "orders"])
def port(cast: Cast, request: pytest.FixtureRequest) -> int:
    """Where the bytes go: the router, or one of two services."""
    kind = "router" if request.param == "router" else "web"
    return int(cast.shop.process(request.param, kind)["port"])


def answers(port: int, raw: bytes, half_close: bool = False, patience: float = 15) -> list[tuple[int, bytes]]:
    """(status, body) of every answer until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
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


NO_HEADS = {
    "a lone CR in a field": OPEN + b"X: a\rb\r\n" + LAST,
    "a lone LF in a field": OPEN + b"X: a\nContent-Length: 9\r\n" + LAST,
    "NUL in a value": OPEN + b"X: a\0b\r\n" + LAST,
    "NUL in a name": OPEN + b"X\0: b\r\n" + LAST,
    "an escape in a value": OPEN + b"X: \x1b[31m\r\n" + LAST,
    "a folded line": OPEN + b"X: a\r\n b\r\n" + LAST,
    "a space before the colon": OPEN + b"X : b\r\n" + LAST,
    "a space before the first field": b"GET /api/orders/health HTTP/1.1\r\n Host: a\r\n" + LAST,
    "a field without a name": OPEN + b": x\r\n" + LAST,
    "a line without a colon": OPEN + b"novalue\r\n" + LAST,
    "a length with a sign": POST + b"Content-Length: +5\r\n" + LAST + b"abcde",
    "a length that is a list": POST + b"Content-Length: 5, 5\r\n" + LAST + b"abcde",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n" + LAST + b"abcde",
    "a length in hexadecimal": POST + b"Content-Length: 0x5\r\n" + LAST + b"abcde",
    "a length with a gap": POST + b"Content-Length: 1_0\r\n" + LAST + b"abcde",
    "no length at all": POST + b"Content-Length: \r\n" + LAST,
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" + LAST + b"0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" + LAST + b"0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked, chunked\r\n" + LAST + b"0\r\n\r\n",
    "chunks and then none": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"
    + LAST
    + b"0\r\n\r\n",
    "chunks behind a tab": POST + b"Transfer-Encoding: \x0bchunked\r\n" + LAST + b"0\r\n\r\n",
    "a space before the colon of chunks": POST + b"Transfer-Encoding : chunked\r\n" + LAST + b"0\r\n\r\n",
    "a coding that nobody knows": POST + b"Transfer-Encoding: xchunked\r\n" + LAST + b"0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /api/users HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + LAST + b"0\r\n\r\n",
    "HTTP/0.9": b"GET /api/orders/health\r\n\r\n",
    "HTTP/2.0": b"GET /api/orders/health HTTP/2.0\r\nHost: a\r\n" + LAST,
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "no HTTP": b"GET /api/orders/health HTTP/1.1x\r\nHost: a\r\n" + LAST,
    "a method in lower case": b"get /api/orders/health HTTP/1.1\r\nHost: a\r\n" + LAST,
    "a method without end": b"X" * 100 + b" /api/orders/health HTTP/1.1\r\nHost: a\r\n" + LAST,
    "an address that is none": b"GET http://[ HTTP/1.1\r\nHost: a\r\n" + LAST,
    "an address without a slash": b"GET api/orders/health HTTP/1.1\r\nHost: a\r\n" + LAST,
    "a backslash": b"GET \\api\\orders HTTP/1.1\r\nHost: a\r\n" + LAST,
    "a space in the address": b"GET /api/orders/health x HTTP/1.1\r\nHost: a\r\n" + LAST,
    "tabs for spaces": b"GET\t/api/orders/health\tHTTP/1.1\r\nHost: a\r\n" + LAST,
    "bytes in the address": b"GET /api/orders/\xff\xfe HTTP/1.1\r\nHost: a\r\n" + LAST,
    "the PROXY protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + OPEN + LAST,
    "two hosts": OPEN + b"Host: b\r\n" + LAST,
}

NO_CHUNKS = {
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


@pytest.mark.parametrize("raw", NO_HEADS.values(), ids=NO_HEADS)
def test_what_is_no_request_is_refused_and_nothing_behind_it_is_read(port: int, raw: bytes) -> None:
    got = answers(port, raw + SECOND)
    assert [status for status, _ in got] == [400]
    assert b"application/problem+json" in got[0][1]


@pytest.mark.parametrize("raw", NO_CHUNKS.values(), ids=NO_CHUNKS)
def test_chunks_that_are_none_are_refused_and_nothing_behind_them_is_read(port: int, raw: bytes) -> None:
    got = answers(port, CHUNKED.replace(b"Connection: close\r\n", b"") + raw + SECOND)
    assert [status for status, _ in got] == [400]
    assert b"application/problem+json" in got[0][1]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /api/orders/" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n" + LAST, 414),
        (OPEN + b"X: " + b"a" * 8_200 + b"\r\n" + LAST, 431),
        (OPEN + b"X" * 8_200 + b": a\r\n" + LAST, 431),
        (OPEN + b"X: a\r\n" * 101 + LAST, 431),
        (OPEN + b"Authorization: Bearer " + b"a" * 100_000 + b"\r\n" + LAST, 431),
        (POST + b"Content-Length: 999999999999999999\r\n" + LAST, 413),
        (POST + b"Content-Length: " + b"9" * 40 + b"\r\n" + LAST, 413),
        (POST + b"Transfer-Encoding: chunked\r\n" + LAST + b"f" * 40 + b"\r\n", 413),
        (POST + b"Expect: 200-maybe\r\nContent-Length: 2\r\n" + LAST + b"{}", 417),
    ],
    ids=["line", "value", "name", "fields", "token", "length", "endless length", "chunk", "expectation"],
)
def test_what_is_too_large_is_refused_before_it_has_come(port: int, raw: bytes, status: int) -> None:
    got = answers(port, raw)
    assert [each for each, _ in got] == [status]
    assert b"application/problem+json" in got[0][1]


@pytest.mark.parametrize("fields", [b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", b"Upgrade: websocket\r\n"])
def test_nothing_is_upgraded(port: int, fields: bytes) -> None:
    first, second = answers(port, OPEN + fields + b"Connection: Upgrade\r\n\r\n" + OPEN + LAST)
    assert first[0] in (200, 400, 404)
    assert second[0] in (200, 404)


@pytest.mark.parametrize("fields", [b"Content_Length: 9\r\nTransfer_Encoding: chunked\r\n", b"CONTENT_LENGTH: 9\r\n"])
def test_a_field_with_an_underscore_is_no_other_field(cast: Cast, fields: bytes) -> None:
    raw = OPEN + fields + b"\r\n" + OPEN + LAST
    assert [status for status, _ in answers(cast.shop.port, raw)] == [200, 200]


def test_two_requests_at_once_get_the_answers_of_their_own(cast: Cast) -> None:
    asked = b"GET /api/users/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n"
    both = [asked % person.token.encode() for person in (cast.owner, cast.other)]
    got = answers(cast.shop.port, both[0] + b"\r\n" + both[1] + LAST)
    assert [status for status, _ in got] == [200, 200]
    for (_, answer), person, another in zip(got, (cast.owner, cast.other), (cast.other, cast.owner), strict=True):
        assert person.id.encode() in answer
        assert not any(canary in answer for canary in another.canaries)


def test_a_body_that_is_longer_than_it_says_is_not_the_next_request_of_anybody(cast: Cast) -> None:
    victim = Line(cast.shop.port)
    for _ in range(20):
        got = answers(cast.shop.port, POST + b"Content-Length: 2\r\n\r\n{}" + b"}garbage" + SECOND)
        assert [status for status, _ in got] == [422, 400]
        got = answers(cast.shop.port, POST + b"Content-Length: 2\r\n\r\n{}" + SECOND)
        assert [status for status, _ in got] == [422, 404]
        assert victim.ask("GET", "/api/orders/health", {}).status == 200


@pytest.mark.parametrize("sent", [b"", b"{", b'{"email": "a'])
def test_a_client_that_stops_in_the_middle_is_forgotten(port: int, sent: bytes) -> None:
    begun = time.monotonic()
    assert answers(port, POST + b"Content-Length: 100\r\n\r\n" + sent, half_close=True) == []
    assert time.monotonic() - begun < 9


def test_a_client_that_has_said_all_is_answered_though_it_closes_its_half(port: int) -> None:
    (answer,) = answers(port, OPEN + b"\r\n", half_close=True)
    assert answer[0] in (200, 404)


def test_who_is_slow_and_who_never_listens_hold_nobody_up(cast: Cast) -> None:
    port = int(cast.shop.process("users", "web")["port"])
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
        line, answered = Line(port), 0
        while time.monotonic() < begun + 8:
            assert line.ask("GET", "/api/users/me", {"Authorization": f"Bearer {cast.owner.token}"}).status == 200
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
        return  # it was cut, as it should be


def _drip(connection: socket.socket, until: float) -> None:
    """A byte now and then does not make a client any less slow."""
    gone = threading.Event()
    while time.monotonic() < until and not gone.wait(0.5):
        try:
            connection.send(b"a")
        except OSError:
            return


def test_only_the_edge_says_where_a_request_comes_from(cast: Cast) -> None:
    """What a client says of its address, its deadline and its trace ends at the router."""
    trace = "1" * 32
    headers = {
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Real-Ip": "6.6.6.6",
        "X-Deadline-Ms": "1",
        "Traceparent": f"00-{trace}-{'2' * 16}-01",
        "Authorization": f"Bearer {cast.owner.token}",
    }
    answer = Line(cast.shop.port).ask("GET", "/api/users/me", headers)
    assert answer.status == 200
    assert answer.headers["X-Trace-Id"] != trace
    for hostile in ("-1", "1e9", "9" * 400, "\u00b2", "NaN"):
        headers |= {"X-Deadline-Ms": hostile, "Traceparent": hostile, "X-Request-Id": hostile * 9}
        assert Line(cast.shop.port).ask("GET", "/api/users/me", headers).status == 200


@pytest.mark.parametrize(
    "path", ["/internal/check-buyer", "/internal/charge", "/metrics", "/livez", "/debug", "/console"]
)
def test_what_is_inside_stays_inside(cast: Cast, path: str) -> None:
    for token in ("", cast.admin.token, cast.tokens_of_nobody["of users"]):
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        for method in ("GET", "POST"):
            assert not cast.line.ask(method, path, headers, b"{}" if method == "POST" else None).wrong(404)


def test_a_client_that_goes_away_in_the_middle_of_an_answer_harms_nobody(cast: Cast) -> None:
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", cast.shop.port), timeout=30) as connection:
            connection.sendall(b"GET /api/products?limit=100 HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection = http.client.HTTPConnection("127.0.0.1", cast.shop.port, timeout=30)
    connection.request("GET", "/api/products?limit=1")
    assert connection.getresponse().status == 200
    connection.close()
