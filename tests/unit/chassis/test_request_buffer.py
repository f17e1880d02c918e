"""Where a request ends, however it is cut into pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.web.request_buffer import MORE, WHOLE, RequestBuffer

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nCONTENT-length:  5 \r\n\r\nhello",
    b"POST / HTTP/1.1\r\nContent-Length: 0000000000000000000005\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n0\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\nTrailer: 1\r\n\r\n",
]


@given(st.sampled_from(REQUESTS), st.lists(st.integers(1, 80)))
def test_a_request_is_whole_with_its_last_byte_and_not_before(request_bytes, cuts):
    reading, end = RequestBuffer(1000, 1000), len(request_bytes)
    edges = sorted({0, *(cut for cut in cuts if cut < end), end})
    verdicts = [reading.add(request_bytes[a:b]) for a, b in pairwise(edges)]
    assert verdicts == [MORE] * (len(verdicts) - 1) + [WHOLE]
    assert bytes(reading.buffer) == request_bytes.lstrip(b"\r\n")


@given(st.binary(max_size=400))
def test_no_bytes_break_it(data):
    assert RequestBuffer(100, 100).add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + data) in (
        MORE,
        WHOLE,
        413,
    )
    assert RequestBuffer(100, 100).add(data) in (MORE, WHOLE, 413, 431)


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
def test_what_is_too_large_is_refused_as_early_as_it_shows(data, status):
    assert RequestBuffer(100, 100).add(data) == status


@pytest.mark.parametrize("chunk", [b"-5\r\nhello", b"zz\r\n", b"a" * 300])
def test_chunks_that_make_no_sense_are_left_to_the_parser(chunk):
    assert RequestBuffer(100, 1000).add(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk) == WHOLE


def test_what_comes_after_the_request_is_kept_for_the_next():
    reading = RequestBuffer(100, 100)
    assert reading.add(REQUESTS[0] + REQUESTS[2]) == WHOLE
    assert bytes(reading.buffer) == REQUESTS[0] + REQUESTS[2]
