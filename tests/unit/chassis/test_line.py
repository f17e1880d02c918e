"""Who is served first, who is refused, and when."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from chassis.web.admission_queue import AdmissionQueue
from chassis.web.request_buffer import allowance, priority


def test_health_comes_before_a_checkout_and_a_checkout_before_browsing(fake_clock):
    line = AdmissionQueue[bytes](10)
    for request in (
        b"GET /api/products HTTP/1.1\r\n",
        b"POST /api/orders HTTP/1.1\r\n",
        b"POST /internal/reserve HTTP/1.1\r\n",
        b"GET /api/orders/health HTTP/1.1\r\n",
        b"GET /health HTTP/1.1\r\n",
    ):
        assert line.put(request, priority(request), 1) is None
    served = [line.get()[0].split()[1] for _ in range(5)]
    assert served == [b"/api/orders/health", b"/health", b"/api/orders", b"/internal/reserve", b"/api/products"]


def test_of_a_full_line_the_last_of_the_least_urgent_goes(fake_clock):
    line = AdmissionQueue[str](2)
    assert line.put("browsing", 2, 1) is None
    assert line.put("more browsing", 2, 1) is None
    assert line.put("checkout", 1, 1) == "more browsing"
    assert line.put("yet more browsing", 2, 1) == "yet more browsing"
    assert [line.get()[0], line.get()[0]] == ["checkout", "browsing"]


def test_whose_turn_comes_too_late_is_told_so(fake_clock):
    line = AdmissionQueue[str](10)
    line.put("patient", 1, 2)
    line.put("hasty", 1, 1)
    fake_clock.pass_time(1.5)
    assert (line.get(), line.get()) == (("patient", False), ("hasty", True))


def test_those_whose_turn_never_comes_are_taken_out_in_time(fake_clock):
    line = AdmissionQueue[str](10)
    line.put("hasty", 2, 1)
    line.put("patient", 2, 3)
    assert line.overdue() == []
    fake_clock.pass_time(2)
    assert line.overdue() == ["hasty"]
    assert line.get() == ("patient", False)


def test_a_closed_line_serves_those_in_it_and_sends_the_threads_home():
    line = AdmissionQueue[str](10)
    line.put("last", 1, 1)
    line.close()
    assert line.get() == ("last", False)
    assert line.get() is None


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(1, 5))
def test_nobody_is_lost_and_the_line_is_never_longer_than_it_may_be(ranks, longest):
    line, refused = AdmissionQueue[int](longest), []
    for number, rank in enumerate(ranks):
        gone = line.put(number, rank, 1)
        refused += [] if gone is None else [gone]
    line.close()
    served = []
    while turn := line.get():
        served.append(turn[0])
    assert len(served) <= longest
    assert sorted(served + refused) == list(range(len(ranks)))
    assert [ranks[each] for each in served] == sorted(ranks[each] for each in served)


def test_a_thread_waits_for_the_next_request():
    line, served = AdmissionQueue[str](10), []
    thread = threading.Thread(target=lambda: served.append(line.get()))
    thread.start()
    line.put("first", 1, 5)
    thread.join(5)
    assert served == [("first", False)]


def test_a_deadline_counts_only_where_a_service_asks():
    inside = b"POST /internal/charge HTTP/1.1\r\nX-Deadline-Ms: 800\r\n\r\n"
    assert allowance(inside, 5) == 0.8
    assert allowance(inside.replace(b"800", b"80000"), 5) == 5
    assert allowance(b"POST /api/orders HTTP/1.1\r\nX-Deadline-Ms: 800\r\n\r\n", 5) == 5
    assert allowance(b"POST /internal/charge HTTP/1.1\r\n\r\nX-Deadline-Ms: 800\r\n", 5) == 5
