"""A verifier whose keys are not there yet, and many who ask at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.errors import OutcomeUnknown
from chassis.testing import FakeClock
from chassis.web.auth import ALGORITHM, AUDIENCE, ISSUER, RETRY, TYPE, KeysUnreachable, Verifier

KEY = OKPKey.generate_key("Ed25519", parameters={"kid": "k1", "use": "sig", "alg": ALGORITHM}, private=True)
ASKING = 8


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


def test_who_asks_while_the_keys_are_being_fetched_waits_for_them() -> None:
    times: list[float] = []
    barrier = threading.Barrier(ASKING)
    under_way, answer = threading.Event(), threading.Event()

    def slow() -> None:
        under_way.set()
        answer.wait(10)

    verifier = Verifier(fetched(times, slow))

    def ask(number: int) -> tuple[str, str] | None:
        barrier.wait(10)
        return verifier.verify(token(f"u{number}"))

    with ThreadPoolExecutor(ASKING) as pool:
        asked = [pool.submit(ask, number) for number in range(ASKING)]
        assert under_way.wait(10)
        assert not any(one.done() for one in asked)
        answer.set()
        assert [one.result() for one in asked] == [(f"u{number}", "customer") for number in range(ASKING)]
    assert len(times) == 1


def test_keys_that_cannot_be_fetched_are_tried_again_a_second_later(fake_clock: FakeClock) -> None:
    times: list[float] = []
    down = True

    def refuse() -> None:
        if down:
            raise OutcomeUnknown("users is away")

    verifier = Verifier(fetched(times, refuse))
    for _ in range(3):
        with pytest.raises(KeysUnreachable):
            verifier.verify(token("u1"))
    assert len(times) == 1
    down = False
    fake_clock.pass_time(RETRY)
    assert verifier.verify(token("u1")) == ("u1", "customer")
