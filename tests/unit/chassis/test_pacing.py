"""Pacing: a refused caller waits for its turn, and nobody else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import clock
from chassis.settings import Settings
from chassis.testing import FakeClock
from chassis.web import client_address
from chassis.web.pacing import INTERVAL_S, MAX_WAIT_S, MEMORY_S, Pacing

PROXY, CLIENT = "10.0.0.1", "192.0.2.1"


@pytest.fixture(autouse=True)
def trusted_proxy(monkeypatch):
    monkeypatch.setattr(client_address, "settings", lambda: Settings(trusted_proxies=PROXY))
    client_address.is_trusted.cache_clear()
    yield
    client_address.is_trusted.cache_clear()


def head(line="PUT /api/users/1 HTTP/1.1", **fields):
    lines = [line, *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join((*lines, "", "")).encode()


ADA = head(Authorization="Bearer ada")


def test_requests_of_a_refused_caller_start_one_after_the_other(fake_clock):
    pacing = Pacing()
    assert not pacing.hold("unknown", ADA, CLIENT)
    pacing.note_refusal(ADA, CLIENT)
    assert all(pacing.hold(number, ADA, CLIENT) for number in range(3))
    assert pacing.take_due() == []
    assert pacing.wait_s(1) == pytest.approx(INTERVAL_S)
    started = []
    for _ in range(3):
        fake_clock.pass_time(INTERVAL_S * 1.01)
        started.append(pacing.take_due())
    assert started == [[0], [1], [2]]
    assert pacing.wait_s(1) == 1


@pytest.mark.parametrize(
    "other",
    [
        head(Authorization="Bearer bob"),
        head(Authorization="Bearer bob", X_Forwarded_For="198.51.100.1"),
        head(X_Forwarded_For="198.51.100.1"),
        head(X_Forwarded_For="198.51.100.1", Cookie="session=bob"),
        head("GET /api/users/1 HTTP/1.1", Authorization="Bearer ada"),
        head(Authorization="Bearer ada", X_Router_Token="a token of the router"),
        head(Authorization="Bearer ada", X_Service_Token="a token of the storefront"),
    ],
)
def test_no_other_request_from_the_same_proxy_waits(fake_clock, other):
    pacing = Pacing()
    for refused in (head(Authorization="Bearer ada", X_Forwarded_For="198.51.100.1"), head(X_Forwarded_For=CLIENT)):
        pacing.note_refusal(refused, PROXY)
        assert pacing.hold("refused", refused, PROXY)
    assert not pacing.hold("other", other, PROXY)


@pytest.mark.parametrize(
    ("refused", "peer", "again", "other_peer"),
    [
        (ADA, CLIENT, head(AUTHORIZATION="Bearer ada"), PROXY),
        (head(), CLIENT, head("POST / HTTP/1.1", X_Forwarded_For=f"203.0.113.9, {CLIENT}"), PROXY),
        (head(), CLIENT, head(X_Forwarded_For="203.0.113.9"), CLIENT),
        (head(), "2001:db8::1", head(), "2001:db8::2"),
        (head(Cookie="session=ada"), CLIENT, head(Cookie="session=ada"), "192.0.2.2"),
    ],
)
def test_a_refused_caller_is_known_again(fake_clock, refused, peer, again, other_peer):
    pacing = Pacing()
    pacing.note_refusal(refused, peer)
    assert pacing.hold("again", again, other_peer)


def test_a_caller_is_paced_for_a_second_after_its_last_refusal(fake_clock):
    pacing = Pacing()
    pacing.note_refusal(ADA, CLIENT)
    fake_clock.pass_time(MEMORY_S * 0.9)
    pacing.note_refusal(ADA, CLIENT)
    fake_clock.pass_time(MEMORY_S * 0.9)
    assert [pacing.hold("first", ADA, CLIENT), pacing.hold("second", ADA, CLIENT)] == [False, True]
    fake_clock.pass_time(MEMORY_S)
    assert not pacing.hold("later", ADA, CLIENT)


def test_callers_that_were_refused_first_are_forgotten_first(fake_clock):
    pacing = Pacing()
    for number in range(1001):
        pacing.note_refusal(head(Authorization=f"Bearer {number}"), CLIENT)
    assert not pacing.hold("first", head(Authorization="Bearer 0"), CLIENT)
    assert pacing.hold("last", head(Authorization="Bearer 1000"), CLIENT)


@given(st.lists(st.floats(0, 0.5), max_size=80))
def test_each_held_request_starts_within_its_longest_wait(pauses):
    fake_clock = FakeClock()
    clock.use(fake_clock)
    try:
        pacing, held, started = Pacing(), {}, {}
        for number, pause_s in enumerate(pauses):
            pacing.note_refusal(ADA, CLIENT)
            if pacing.hold(number, ADA, CLIENT):
                held[number] = fake_clock.monotonic()
            fake_clock.pass_time(pause_s / 50)
            started |= dict.fromkeys(pacing.take_due(), fake_clock.monotonic())
        while (wait_s := pacing.wait_s(60)) < 60:
            fake_clock.pass_time(wait_s + 1e-6)
            started |= dict.fromkeys(pacing.take_due(), fake_clock.monotonic())
        assert started.keys() == held.keys()
        assert all(started[each] - held[each] <= MAX_WAIT_S + 0.02 for each in held)
    finally:
        clock.use(clock.Clock())


def test_a_shutdown_takes_all_held_requests_at_once(fake_clock):
    pacing = Pacing()
    pacing.note_refusal(ADA, CLIENT)
    for number in range(5):
        pacing.hold(number, ADA, CLIENT)
    assert pacing.take_due(everything=True) == [0, 1, 2, 3, 4]
