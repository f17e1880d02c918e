"""The clock: timestamps of RFC 3339 in full, and randomness that differs for every thread and process."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import clock


@pytest.mark.parametrize("size", [1, 10, 24, 4096, 5000])
def test_entropy_returns_the_size_asked_for(size):
    assert {len(clock.entropy(size)) for _ in range(1000)} == {size}


def test_entropy_differs_between_threads():
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: [clock.entropy(16) for _ in range(2000)], range(8)))
    assert len({id for some in ids for id in some}) == 16_000


def test_entropy_differs_between_processes():
    clock.entropy(1)
    reading, writing = os.pipe()
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        os.write(writing, clock.entropy(16))
        os._exit(0)
    assert os.read(reading, 16) != clock.entropy(16)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("2026-11-30T11:00:00Z", "2026-11-30T11:00:00+00:00"),
        ("2026-11-30t11:00:00z", "2026-11-30T11:00:00+00:00"),
        ("2026-11-30 11:00:00.5Z", "2026-11-30T11:00:00.500000+00:00"),
        ("2026-11-30T11:00:00.123456789+05:30", "2026-11-30T05:30:00.123456+00:00"),
        ("2026-11-30T11:00:00.1234567890123456789Z", "2026-11-30T11:00:00.123456+00:00"),
        ("2026-11-30T11:00:00-00:00", "2026-11-30T11:00:00+00:00"),
        ("2026-11-30T11:00:00+23:59", "2026-11-29T11:01:00+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2016-12-31T15:59:60.75-08:00", "2017-01-01T00:00:00+00:00"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
    ],
)
def test_timestamp_of_rfc_3339_is_parsed(text, parsed):
    assert clock.parse_timestamp(text).isoformat() == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1796036830",
        "2026-11-30",
        "2026-11-30T11:00:00",
        "2026-11-30T11:00Z",
        "2026-11-30T24:00:00Z",
        "2026-11-30T23:60:00Z",
        "2026-11-30T11:00:61Z",
        "2026-11-30T11:00:60Z",
        "2026-11-29T23:59:60Z",
        "2026-02-29T11:00:00Z",
        "2026-11-30T11:00:00.Z",
        "2026-11-30T11:00:00+0530",
        "2026-11-30T11:00:00+24:00",
        "2026-11-30T11:00:00Z ",
        "2026-11-30T11:00:00Z\n",
        "20261130T110000Z",
        "2026-W49-1T11:00:00Z",
        "+2026-11-30T11:00:00Z",
        "2026-11-30T11:00:0\u0660Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:60Z",
        "Mon, 30 Nov 2026 11:00:00 GMT",
    ],
)
def test_other_text_is_not_a_timestamp(text):
    with pytest.raises(ValueError):
        clock.parse_timestamp(text)


@given(st.text())
def test_any_text_is_parsed_or_rejected(text):
    try:
        assert clock.parse_timestamp(text).tzinfo is UTC
    except ValueError:
        pass


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001  the offset is another value
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_every_moment_is_parsed_in_every_offset(naive, minutes):
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert clock.parse_timestamp(moment.isoformat()) == moment
