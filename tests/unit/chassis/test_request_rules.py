"""What a request must have beyond the parser of gunicorn, applied to requests that this parser read."""

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from chassis.web import request_rules

GET = "GET /a?b HTTP/1.1\r\n"
POST = "POST /a HTTP/1.1\r\nHost: h\r\n"


def parse(head, body=""):
    request = next(RequestParser(Config(), iter([f"{head}\r\n{body}".encode("latin-1")]), ("127.0.0.1", 1)))
    request_rules.apply(request)
    return request


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        ("http://shop.example/api/products?limit=1", "/api/products?limit=1", "shop.example"),
        ("HTTPS://Shop.Example:8443/a", "/a", "Shop.Example:8443"),
        ("http://[::1]:80/a/b", "/a/b", "[::1]:80"),
        ("http://h", "/", "h"),
        ("http://h?b=/c", "/?b=/c", "h"),
        ("http://h//internal/x", "//internal/x", "h"),
        ("/a?b", "/a?b", "here"),
    ],
)
def test_an_absolute_target_becomes_path_and_host(target, path, host):
    request = parse(f"GET {target} HTTP/1.1\r\nX: y\r\nHost: here\r\n")
    assert request.uri == path
    assert request.path == path.partition("?")[0]
    assert [value for name, value in request.headers if name == "HOST"] == [host]
    assert ("X", "y") in request.headers


@pytest.mark.parametrize(
    "target",
    [
        "ftp://h/a",
        "http:/a",
        "http:///a",
        "http://u:p@h/a",
        "http://a,b/a",
        "http://h:x/a",
        "h:443",
        "*",
        "a",
        "http://[",
    ],
)
def test_any_other_target_is_rejected(target):
    with pytest.raises(ParseException):
        parse(f"GET {target} HTTP/1.1\r\nHost: here\r\n")


def test_the_target_of_the_whole_server_is_left_to_the_app():
    assert parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n").uri == "*"


@pytest.mark.parametrize(
    "head", [GET, GET + "X: y\r\n", GET + "Host: a b\r\n", GET + "Host: a,b\r\n", GET + "Host: a/b\r\n"]
)
def test_http_1_1_needs_one_valid_host(head):
    with pytest.raises(ParseException) as refused:
        parse(head)
    assert not request_rules.is_unknown_coding(refused.value)


@pytest.mark.parametrize("head", [GET + "Host:\r\n", GET + "Host: [::1]:80\r\n", "GET /a HTTP/1.0\r\nX: y\r\n"])
def test_a_host_that_may_be_missing_or_empty_is_accepted(head):
    parse(head)


@pytest.mark.parametrize(
    "codings",
    [["gzip, chunked"], ["gzip"], ["gzip", "chunked"], ["xchunked"], ["deflate , chunked"], ["identity, chunked"],
     ["identity"], ["x;a=1 ; b=\"c d\", chunked"]],
)  # fmt: skip
def test_a_transfer_coding_besides_chunks_is_unknown(codings):
    with pytest.raises(ParseException) as refused:
        parse(POST + "".join(f"Transfer-Encoding: {coding}\r\n" for coding in codings), "0\r\n\r\n")
    assert request_rules.is_unknown_coding(refused.value)


@pytest.mark.parametrize(
    "codings",
    [["chunked, chunked"], ["chunked", "identity"], ["chunked, gzip"], [""], [", chunked"], ["a b"], ["x;a"],
     ["\x0bchunked"]],
)  # fmt: skip
def test_codings_that_nobody_may_send_are_malformed(codings):
    with pytest.raises(ParseException) as refused:
        parse(POST + "".join(f"Transfer-Encoding: {coding}\r\n" for coding in codings), "0\r\n\r\n")
    assert not request_rules.is_unknown_coding(refused.value)


def test_chunks_are_accepted():
    assert parse(POST + "Transfer-Encoding: Chunked\r\n", "2\r\nab\r\n0\r\n\r\n").body.read() == b"ab"


TARGETS = st.one_of(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40),
    st.lists(
        st.sampled_from(["http", "https", ":", "/", "//", "@", "[", "]", "h", "?", "#", "%", "."]), min_size=1
    ).map("".join),
)


@given(TARGETS)
def test_every_accepted_target_is_a_path(target):
    try:
        request = parse(f"GET {target} HTTP/1.1\r\nHost: here\r\n")
    except (ParseException, StopIteration):
        return
    assert request.uri.startswith("/")
