"""A verifier that does not have its keys yet."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.errors import OutcomeUnknown
from chassis.testing import FakeClock
from chassis.web.auth import (
    ALGORITHM,
    AUDIENCE,
    FAILED_FETCH_RETRY_S,
    ISSUER,
    KEYS_REFRESH_S,
    MAX_STALE_KEYS_S,
    TYPE,
    Identity,
    KeysUnavailable,
    Verifier,
)
from tests.faults.stub_server import ERROR_RESPONSE, http_response, respond_with, stub_server

KEY = OKPKey.generate_key("Ed25519", parameters={"kid": "k1", "use": "sig", "alg": ALGORITHM}, private=True)
THREADS = 8


def token(user: str) -> str:
    now = int(clock.now().timestamp())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "role": "customer", "iat": now, "exp": now + 600}
    return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": "k1"}, claims, KEY, algorithms=[ALGORITHM])


def fetched(times: list[float], wait: Callable[[], object] = lambda: None) -> Callable[[], Any]:
    def fetch() -> Any:
        times.append(clock.monotonic())
        wait()
        return {"keys": [KEY.as_dict(private=False)]}

    return fetch


def test_concurrent_requests_wait_for_one_fetch_of_the_keys() -> None:
    times: list[float] = []
    barrier = threading.Barrier(THREADS)
    started, answer = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        answer.wait(10)

    verifier = Verifier(fetched(times, slow))

    def ask(number: int) -> Identity | None:
        barrier.wait(10)
        return verifier.verify(token(f"u{number}"))

    with ThreadPoolExecutor(THREADS) as pool:
        results = [pool.submit(ask, number) for number in range(THREADS)]
        assert started.wait(10)
        assert not any(one.done() for one in results)
        answer.set()
        assert [one.result() for one in results] == [Identity(f"u{number}", "customer") for number in range(THREADS)]
    assert len(times) == 1


def test_no_other_request_waits_while_known_keys_are_fetched_again(fake_clock: FakeClock) -> None:
    started, answer = threading.Event(), threading.Event()
    answer.set()

    def wait() -> None:
        started.set()
        answer.wait(10)

    verifier, known = Verifier(fetched([], wait)), token("u1")
    assert verifier.verify(known) == Identity("u1", "customer")
    fake_clock.pass_time(KEYS_REFRESH_S)
    started.clear(), answer.clear()
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(verifier.verify, known)
        assert started.wait(10)
        for other in (known, token("u2")):
            assert verifier.verify(other) is not None
        assert not fetching.done()
        answer.set()
        assert fetching.result() == Identity("u1", "customer")


def test_no_token_is_accepted_once_the_keys_are_too_old(fake_clock: FakeClock) -> None:
    """Neither one that was verified before, nor while another request tries to fetch the keys."""
    replies = iter([{"keys": [KEY.as_dict(private=False)]}])
    started, answer = threading.Event(), threading.Event()
    answer.set()

    def fetch() -> Any:
        for reply in replies:
            return reply
        started.set()
        answer.wait(10)
        raise OutcomeUnknown("users is away")

    verifier, known = Verifier(fetch), token("u1")
    assert verifier.verify(known) is not None
    fake_clock.pass_time(MAX_STALE_KEYS_S + 1)
    with pytest.raises(KeysUnavailable):
        verifier.verify(known)
    fake_clock.pass_time(FAILED_FETCH_RETRY_S)
    started.clear(), answer.clear()
    with ThreadPoolExecutor(2) as pool:
        fetching = pool.submit(verifier.verify, known)
        assert started.wait(10)
        waiting = pool.submit(verifier.verify, known)
        answer.set()
        for request in (fetching, waiting):
            with pytest.raises(KeysUnavailable):
                request.result()


def test_failed_fetch_of_the_keys_is_retried_after_a_second(fake_clock: FakeClock) -> None:
    times: list[float] = []
    down = True

    def refuse() -> None:
        if down:
            raise OutcomeUnknown("users is away")

    verifier = Verifier(fetched(times, refuse))
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            verifier.verify(token("u1"))
    assert len(times) == 1
    down = False
    fake_clock.pass_time(FAILED_FETCH_RETRY_S)
    assert verifier.verify(token("u1")) == Identity("u1", "customer")


def test_keys_are_used_while_their_issuer_is_away_but_not_for_ever(fake_clock: FakeClock) -> None:
    jwks = orjson.dumps({"keys": [KEY.as_dict(private=False)]}).decode()
    with stub_server(respond_with(http_response(200, jwks), ERROR_RESPONSE)) as (_, client):
        verifier = Verifier(lambda: client.fetch("stub", "/jwks.json", 0), "stub")
        assert verifier.verify(token("u1")) == Identity("u1", "customer")
        while clock.monotonic() + KEYS_REFRESH_S <= MAX_STALE_KEYS_S:
            fake_clock.pass_time(KEYS_REFRESH_S)
            assert verifier.verify(token("u2")) == Identity("u2", "customer")
        fake_clock.pass_time(2 * KEYS_REFRESH_S)
        with pytest.raises(KeysUnavailable):
            verifier.verify(token("u3"))


def test_malformed_key_set_does_not_replace_the_keys(fake_clock: FakeClock) -> None:
    replies = iter([{"keys": [KEY.as_dict(private=False)]}, {"keys": [{"kty": "?"}]}, {"keys": "none"}, None])
    verifier = Verifier(lambda: next(replies), "users")
    for _ in range(4):
        assert verifier.verify(token("u1")) == Identity("u1", "customer")
        fake_clock.pass_time(KEYS_REFRESH_S)
