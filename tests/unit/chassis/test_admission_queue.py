"""The order in which queued requests are served, and which are rejected."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from chassis.web.admission_queue import AdmissionQueue
from chassis.web.request_buffer import priority_of, time_left_s


def test_health_then_what_services_need_then_writes_then_reads(fake_clock):
    queue = AdmissionQueue[bytes](10)
    for request in (
        b"GET /api/products?q=/health HTTP/1.1\r\n",
        b"PUT /api/users/u1?x=/jwks.json HTTP/1.1\r\n",
        b"POST /api/orders HTTP/1.1\r\n",
        b"POST /internal/reserve HTTP/1.1\r\n",
        b"GET /api/auth/jwks.json HTTP/1.1\r\n",
        b"GET /api/orders/health HTTP/1.1\r\n",
        b"GET /health HTTP/1.1\r\n",
    ):
        assert queue.put(request, priority_of(request), 1) is None
    served = [queue.get()[0].split()[1].partition(b"?")[0] for _ in range(7)]
    assert served == [
        b"/api/orders/health",
        b"/health",
        b"/internal/reserve",
        b"/api/auth/jwks.json",
        b"/api/users/u1",
        b"/api/orders",
        b"/api/products",
    ]


def test_no_client_gains_priority_by_the_end_of_its_path():
    for path in (b"/api/products/p1/health", b"/x/health", b"/api/products/jwks.json", b"/api//health", b"/healthy"):
        assert priority_of(b"GET " + path + b" HTTP/1.1\r\n") == 3, path
    for path in (b"/health", b"/api/products/health", b"/api/auth/jwks.json"):
        assert priority_of(b"PUT " + path + b" HTTP/1.1\r\n") == 2, path


def test_full_queue_removes_the_newest_of_the_lowest_priority(fake_clock):
    queue = AdmissionQueue[str](2)
    assert queue.put("browsing", 2, 1) is None
    assert queue.put("more browsing", 2, 1) is None
    assert queue.put("checkout", 1, 1) == "more browsing"
    assert queue.put("yet more browsing", 2, 1) == "yet more browsing"
    assert [queue.get()[0], queue.get()[0]] == ["checkout", "browsing"]


def test_get_reports_an_item_that_waited_too_long(fake_clock):
    queue = AdmissionQueue[str](10)
    queue.put("patient", 1, 2)
    queue.put("hasty", 1, 1)
    fake_clock.pass_time(1.5)
    assert (queue.get(), queue.get()) == (("patient", False), ("hasty", True))


def test_overdue_items_are_removed_without_get(fake_clock):
    queue = AdmissionQueue[str](10)
    queue.put("hasty", 2, 1)
    queue.put("patient", 2, 3)
    assert queue.remove_overdue() == []
    fake_clock.pass_time(2)
    assert queue.remove_overdue() == ["hasty"]
    assert queue.get() == ("patient", False)


def test_closed_queue_is_emptied_and_then_returns_none():
    queue = AdmissionQueue[str](10)
    queue.put("last", 1, 1)
    queue.close()
    assert queue.get() == ("last", False)
    assert queue.get() is None


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(1, 5))
def test_every_item_is_served_or_removed_and_length_is_bounded(priorities, max_items):
    queue, removed = AdmissionQueue[int](max_items), []
    for number, priority in enumerate(priorities):
        gone = queue.put(number, priority, 1)
        removed += [] if gone is None else [gone]
    queue.close()
    served = []
    while entry := queue.get():
        served.append(entry[0])
    assert len(served) <= max_items
    assert sorted(served + removed) == list(range(len(priorities)))
    assert [priorities[each] for each in served] == sorted(priorities[each] for each in served)


def test_get_waits_for_the_next_item():
    queue, served = AdmissionQueue[str](10), []
    thread = threading.Thread(target=lambda: served.append(queue.get()))
    thread.start()
    queue.put("first", 1, 5)
    thread.join(5)
    assert served == [("first", False)]


def test_deadline_header_counts_for_commands_alone():
    inside = b"POST /internal/charge HTTP/1.1\r\nX-Deadline-Ms: 800\r\n\r\n"
    assert time_left_s(inside, 5) == 0.8
    assert time_left_s(inside.replace(b"800", b"80000"), 5) == 5
    assert time_left_s(b"POST /api/orders HTTP/1.1\r\nX-Deadline-Ms: 800\r\n\r\n", 5) == 5
    assert time_left_s(b"POST /internal/charge HTTP/1.1\r\n\r\nX-Deadline-Ms: 800\r\n", 5) == 5
