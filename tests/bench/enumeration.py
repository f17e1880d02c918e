"""Whether the time of an answer tells which accounts exist: one that does and one that does not are asked for."""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chassis import clock
from tests.system.platform import PASSWORD, Client, Shop

BAR = 5.0
"""Milliseconds between the medians."""
PAIRS, FEW = 200, 40


def run(short: bool) -> list[dict[str, Any]]:
    """The difference of the medians of interleaved pairs, in ms, for a sign-in and for a refresh."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder), RATE_LIMITS="off")
        try:
            return _measured(shop.up(), FEW if short else PAIRS)
        finally:
            shop.down()


def _measured(shop: Shop, pairs: int) -> list[dict[str, Any]]:
    person, client = shop.shopper(), Client(shop.at("users"))
    spent, family = person.refresh_token, person.refresh_token.partition(".")[0]
    assert client.post("/api/auth/logout", {"refreshToken": spent}).status_code == 204

    def sign_in(email: str) -> Callable[[], Any]:
        return lambda: client.post("/api/auth/login", {"email": email, "password": f"not {PASSWORD}"})

    def refresh(token: str) -> Callable[[], Any]:
        return lambda: client.post("/api/auth/refresh", {"refreshToken": token})

    nobody = f"{clock.new_id().lower()}@example.com"
    asked = {
        "sign-in: a known account and an unknown one": (sign_in(person.email), sign_in(nobody)),
        "refresh: a used token and an invented one": (refresh(spent), refresh(f"{clock.new_id()}.{'A' * 43}")),
        "refresh: a known family and an unknown one": (refresh(f"{family}.{'A' * 43}"), refresh(f"x.{'A' * 43}")),
    }
    return [_compared(name, *both, pairs) for name, both in asked.items()]


def _compared(name: str, known: Callable[[], Any], unknown: Callable[[], Any], pairs: int) -> dict[str, Any]:
    times: tuple[list[float], list[float]] = ([], [])
    told = set()
    for number in range(pairs + 5):
        for which in (0, 1) if number % 2 else (1, 0):
            begun = clock.monotonic()
            answer = (known, unknown)[which]()
            took = clock.monotonic() - begun
            body = answer.json()
            told.add((answer.status_code, body["type"], body["title"], body["detail"]))
            if number >= 5:  # the first ones open connections
                times[which].append(took * 1000)
    difference = abs(statistics.median(times[0]) - statistics.median(times[1]))
    return {
        "name": name,
        "value": round(difference, 2),
        "bar": f"<= {BAR:g} ms",
        "ok": difference <= BAR and len(told) == 1,
    }


if __name__ == "__main__":
    for row in run(short=False):
        print(f"{row['name']}: {row['value']} ms, {row['bar']}, {'ok' if row['ok'] else 'NOT ok'}")
