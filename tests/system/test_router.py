"""The router and its server, over raw sockets: what passes, what does not, and what a client sees of a fault."""

import http.client
import json
import os
import signal
import socket
import time

import pytest

from tests.system import toys
from tests.system.running import eventually
from tests.system.scraping import Snapshot


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    platform = toys.platform(tmp_path_factory.mktemp("router"), DEADLINE="1").up()
    yield platform
    platform.down()


def send(port: int, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the response to exactly these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(raw)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, dict(response.getheaders()), response.read()


def get(shop, target: str, *fields: str) -> tuple[int, dict[str, str], bytes]:
    return send(shop.port, "\r\n".join((f"GET {target} HTTP/1.1", "Host: here", *fields, "", "")).encode())


@pytest.mark.parametrize(
    ("target", "service"),
    [
        ("/api/shop", "shop"),
        ("/api/shop/1?a=b", "shop"),
        ("/api/people/of/shop/1", "shop"),
        ("/api/people/of", "people"),
        ("/api/people/of/shops", "people"),
        ("/api/shop/%2e%2e/%00//x?q=%2F&q=%zz", "shop"),
        ("/", "people"),
        ("/?a=b", "people"),
        ("/people.txt", "people"),
    ],
)
def test_path_goes_unchanged_to_its_exact_route_or_longest_prefix(shop, target, service):
    status, _, body = get(shop, target)
    assert (status, json.loads(body)["service"], json.loads(body)["target"]) == (200, service, target)


@pytest.mark.parametrize(
    "target",
    ["//", "/api", "/api/nope", "/people.txt/", "/people.txt/x", "/people%2Etxt", "/metrics/", "/internal/",
     "/api/shopping", "/internal/shop", "/metrics", "/readyz", "//api/shop", "/API/shop", "/x/../api/shop",
     "/api%2Fshop", "/;/api/shop", "http://elsewhere/internal/shop"],
)  # fmt: skip
def test_other_paths_are_not_found(shop, target):
    status, fields, body = get(shop, target)
    assert (status, fields["Content-Type"]) == (404, "application/problem+json")
    assert json.loads(body)["status"] == 404


@pytest.mark.parametrize("target", ["http://elsewhere/api/shop?a=b", "HTTPS://elsewhere/api/shop?a=b"])
def test_absolute_target_goes_to_its_path_and_host(shop, target):
    status, _, body = get(shop, target)
    assert (status, json.loads(body)["target"]) == (200, "/api/shop?a=b")
    assert json.loads(body)["headers"]["HTTP_HOST"] == "elsewhere"


def test_request_of_http_1_0_needs_no_host(shop):
    status, _, body = send(shop.port, b"GET /api/shop HTTP/1.0\r\n\r\n")
    assert (status, json.loads(body)["headers"]["HTTP_HOST"]) == (200, "")


def test_requests_are_logged_without_query_and_with_the_path_of_no_route(shop):
    get(shop, "/nowhere/at%0aall?token=secret-query")
    get(shop, "/api/shop/secret-path?token=secret-query")
    passed = eventually(lambda: [line for line in logged_requests(shop) if line["upstream"] == "shop"])[-1]
    assert passed.keys() == {"time", "level", "message", "service", "process", "pid", "traceId",
                             "method", "route", "upstream", "status", "ms"}  # fmt: skip
    assert (passed["process"], passed["method"], passed["status"]) == ("router", "GET", 200)
    assert (passed["route"], len(passed["traceId"])) == ("/api/shop", 32)
    (lost,) = eventually(lambda: [line for line in logged_requests(shop) if "nowhere" in line.get("path", "")])
    assert (lost["route"], lost["path"], lost["status"]) == ("", "/nowhere/at%0Aall", 404)
    assert "secret" not in shop.log("router")


def test_router_measures_requests_by_the_route_of_their_service(shop):
    get(shop, "/api/people/of/shop/1")
    labels = {"http_request_method": "GET", "http_route": "/api/people/of/shop", "http_response_status_code": "200"}
    measured = Snapshot(shop).value("http_server_request_duration_seconds_count", **labels)
    assert measured >= 1  # the toys have no metrics of requests


def logged_requests(shop) -> list[dict]:
    lines = [json.loads(line) for line in shop.log("router").splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == "request"]


def test_headers_pass_except_hop_by_hop_and_edge_headers(shop):
    _, fields, body = get(
        shop,
        "/api/shop",
        "Authorization: Bearer a.b.c",
        "Idempotency-Key: k",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: evil",
        "Forwarded: for=6.6.6.6",
        "X-Deadline-Ms: 999999",
        "Traceparent: 00-11111111111111111111111111111111-2222222222222222-01",
        "X-Router-Token: a.b.c",
        "Connection: keep-alive, X-Private",
        "X-Private: 1",
        "TE: trailers",
    )
    echo = json.loads(body)["headers"]
    assert len(echo.pop("HTTP_X_REQUEST_ID")) == 26
    assert "1" * 32 not in echo.pop("HTTP_TRACEPARENT") and len(echo.pop("HTTP_X_ROUTER_TOKEN")) > 100
    assert echo == {
        "HTTP_HOST": "here",
        "HTTP_AUTHORIZATION": "Bearer a.b.c",
        "HTTP_IDEMPOTENCY_KEY": "k",
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_FORWARDED_PROTO": "http",
    }
    assert "Set-Cookie" in fields


def test_request_id_of_the_client_is_kept(shop):
    assert json.loads(get(shop, "/api/shop", "X-Request-Id: mine")[2])["headers"]["HTTP_X_REQUEST_ID"] == "mine"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [b"", b"hello"])
def test_method_and_body_pass(shop, method, body):
    head = f"{method} /api/shop HTTP/1.1\r\nHost: here\r\nContent-Type: text/x\r\nContent-Length: {len(body)}\r\n\r\n"
    echo = json.loads(send(shop.port, head.encode() + body)[2])
    assert (echo["method"], echo["body"], echo["headers"]["CONTENT_TYPE"]) == (method, body.decode(), "text/x")


def test_chunked_body_passes(shop):
    head = b"POST /api/shop HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert json.loads(send(shop.port, head + b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n")[2])["body"] == "abcde"


def test_head_has_no_body(shop):
    with socket.create_connection(("127.0.0.1", shop.port), timeout=30) as connection:
        connection.sendall(b"HEAD /api/shop HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n") and b"Content-Length: " in answer


def test_body_of_more_than_a_megabyte_is_rejected(shop):
    head = b"POST /api/shop HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n"
    assert json.loads(send(shop.port, head % 2**20 + b"x" * 2**20)[2])["size"] == 2**20
    status, fields, _ = send(shop.port, head % (2**20 + 1) + b"x" * (2**20 + 1))
    assert (status, fields["Content-Type"]) == (413, "application/problem+json")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"PUT /api/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /api/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST /api/shop HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabcd", 400),
        (b"POST /api/shop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
        (b"GET /api/shop HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /api/shop HTTP/1.1\r\n\r\n", 400),
        (b"GET http://a/api/shop HTTP/1.1\r\n\r\n", 400),
        (b"GET ftp://a/api/shop HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /api/shop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST /api/shop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nab", 501),
        (b"GET /api/shop\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /api/shop HTTP/1.1\r\nHost: a\r\n" + b"X-A: 1\r\n" * 101 + b"\r\n", 431),
        (b"GET /api/shop HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 8192 + b"\r\n\r\n", 431),
        (b"GET /api/shop HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 70_000, 431),
    ],
)
def test_malformed_request_is_rejected_with_a_problem(shop, raw, status):
    got, fields, body = send(shop.port, raw)
    assert (got, fields["Content-Type"], json.loads(body)["status"]) == (status, "application/problem+json", status)


def test_client_input_is_escaped_in_the_log(shop):
    send(shop.port, b"GET /api/shop\x1b[31m\r[fake] HTTP/1.1\r\nHost: a\r\n\r\n")
    assert "\x1b" not in shop.log("router") and "\r" not in shop.log("router")


def test_two_requests_in_one_packet_get_two_responses(shop):
    one = b"GET /api/shop HTTP/1.1\r\nHost: a\r\n"
    with socket.create_connection(("127.0.0.1", shop.port), timeout=30) as connection:
        connection.sendall(one + b"\r\n" + one + b"Connection: close\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(65536), b"")).count(b"HTTP/1.1 200") == 2


def test_expect_100_continue_is_answered(shop):
    with socket.create_connection(("127.0.0.1", shop.port), timeout=30) as connection:
        connection.sendall(b"POST /api/shop HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hi")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert (response.status, json.loads(response.read())["body"]) == (200, "hi")


def test_slow_clients_delay_no_one_and_are_cut_off_after_10_s(shop):
    port, begun = shop.port, time.monotonic()
    starts = [b"", b"GET /api/shop HTTP/1.1\r\nHost: ", b"POST /api/shop HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"]
    slow = []
    for number in range(150):
        slow.append(socket.create_connection(("127.0.0.1", port), timeout=60))
        slow[-1].sendall(starts[number % 3])
    lingering = socket.create_connection(("127.0.0.1", port), timeout=30)
    lingering.sendall(b"GET /api/shop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    lingering.recv(65536)
    served_meanwhile = 0
    for _ in range(20):
        assert get(shop, "/api/shop")[0] == 200
        served_meanwhile += time.monotonic() - begun < 9
    assert served_meanwhile
    answers = [connection.recv(4096)[:12] for connection in slow[:3]]
    assert answers == [b"", b"HTTP/1.1 408", b"HTTP/1.1 408"]
    assert time.monotonic() - begun > 9
    for connection in (*slow, lingering):
        connection.close()


def test_slow_service_is_a_504(shop):
    asked = time.monotonic()
    status, fields, _ = get(shop, "/api/people/slow?20")
    assert (status, fields["Content-Type"]) == (504, "application/problem+json")
    assert 1.9 < time.monotonic() - asked < 15


def test_service_that_dies_during_a_request_is_a_502(shop):
    head = b"POST /api/people/die HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    assert send(shop.port, head)[0] == 502
    eventually(lambda: get(shop, "/api/people")[0] == 200)


def test_dead_service_is_a_503_until_it_is_restarted(shop):
    assert get(shop, "/api/people")[0] == 200  # over a connection that the router keeps
    head = b"POST /api/people HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    launcher = shop.run()["pid"]
    os.kill(launcher, signal.SIGSTOP)  # or it would restart the service before a request fails
    try:
        os.killpg(shop.process("people", "web")["pid"], signal.SIGKILL)
        # While its threads are dying, its connections are still open, and a request over them ends as a 502.
        eventually(lambda: send(shop.port, head)[0] == 503)
        status, fields, body = send(shop.port, head)
    finally:
        os.kill(launcher, signal.SIGCONT)
    assert (status, fields.get("Retry-After"), json.loads(body)["title"]) == (503, "1", "Service Unavailable")
    assert eventually(lambda: send(shop.port, head)[0] == 200)
    assert get(shop, "/api/shop")[0] == 200
