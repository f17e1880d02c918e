"""The end of a request, however the network cuts it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.web.request_buffer import COMPLETE, INCOMPLETE, RequestBuffer

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nCONTENT-length:  5 \r\n\r\nhello",
    b"POST / HTTP/1.1\r\nContent-Length: 0000000000000000000005\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n0\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\nTrailer: 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: Chunked \r\n\r\n1\r\na\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n",
]


@given(st.sampled_from(REQUESTS), st.lists(st.integers(1, 80)))
def test_request_is_complete_with_its_last_byte(request_bytes, cuts):
    buffer, end = RequestBuffer(1000, 1000), len(request_bytes)
    edges = sorted({0, *(cut for cut in cuts if cut < end), end})
    results = [buffer.add(request_bytes[a:b]) for a, b in pairwise(edges)]
    assert results == [INCOMPLETE] * (len(results) - 1) + [COMPLETE]
    assert bytes(buffer.buffer) == request_bytes.lstrip(b"\r\n")


@given(st.binary(max_size=400))
def test_any_bytes_give_a_result(data):
    assert RequestBuffer(100, 100).add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + data) in (
        INCOMPLETE,
        COMPLETE,
        413,
    )
    assert RequestBuffer(100, 100).add(data) in (INCOMPLETE, COMPLETE, 413, 431)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 100, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 100 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 40, 413),
    ],
)
def test_too_large_request_is_rejected_as_early_as_possible(data, status):
    assert RequestBuffer(100, 100).add(data) == status


@pytest.mark.parametrize("chunk", [b"-5\r\nhello", b"zz\r\n", b"a" * 300])
def test_invalid_chunks_are_left_to_the_parser(chunk):
    assert RequestBuffer(100, 1000).add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk) == COMPLETE


def test_bytes_after_the_request_are_kept_for_the_next():
    buffer = RequestBuffer(100, 100)
    assert buffer.add(REQUESTS[0] + REQUESTS[2]) == COMPLETE
    assert bytes(buffer.buffer) == REQUESTS[0] + REQUESTS[2]
