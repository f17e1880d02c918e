"""Account enumeration: response times must not reveal which accounts exist."""

import statistics
from collections.abc import Callable
from typing import Any

from chassis import clock
from tests.bench.shop import running_shop
from tests.system.mail_server import MailServer
from tests.system.platform import PASSWORD, Client, Shop

BAR_MS = 5.0
"""Difference of the medians."""
PAIRS, FEW_PAIRS = 200, 40


def run(short: bool) -> list[dict[str, Any]]:
    """Return the difference of the medians of interleaved pairs, in ms, with mail off and on."""
    pairs = FEW_PAIRS if short else PAIRS
    with MailServer() as server:
        return _measure("mail off", pairs) + _measure("mail on", pairs, SMTP_URL=server.url)


def _measure(name: str, pairs: int, **environment: str) -> list[dict[str, Any]]:
    with running_shop(**environment) as shop:
        compared = _requests(shop)
        return [row for what, both in compared.items() for row in _compare(f"{what}, {name}", *both, pairs)]


def _requests(shop: Shop) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Return the pairs of requests whose responses must not differ."""
    person, client = shop.shopper(), Client(shop.url_of("users"))
    used, family = person.refresh_token, person.refresh_token.partition(".")[0]
    assert client.post("/api/auth/logout", {"refreshToken": used}).status_code == 204

    def sign_in(email: str) -> Callable[[], Any]:
        return lambda: client.post("/api/auth/login", {"email": email, "password": f"not {PASSWORD}"})

    def refresh(token: str) -> Callable[[], Any]:
        return lambda: client.post("/api/auth/refresh", {"refreshToken": token})

    def mail(route: str, email: str) -> Callable[[], Any]:
        return lambda: client.post(f"/api/auth/{route}", {"email": email})

    unknown = f"{clock.new_id().lower()}@example.com"
    return {
        "sign-in: known and unknown account": (sign_in(person.email), sign_in(unknown)),
        "refresh: used and unknown token": (refresh(used), refresh(f"{clock.new_id()}.{'A' * 43}")),
        "refresh: known and unknown family": (refresh(f"{family}.{'A' * 43}"), refresh(f"x.{'A' * 43}")),
        "reset: known and unknown account": (mail("resets", person.email), mail("resets", unknown)),
        "verification: known and unknown account": (
            mail("verifications", person.email),
            mail("verifications", unknown),
        ),
    }


def _compare(name: str, known: Callable[[], Any], unknown: Callable[[], Any], pairs: int) -> list[dict[str, Any]]:
    times: tuple[list[float], list[float]] = ([], [])
    bodies = set()
    for number in range(pairs + 5):
        for which in (0, 1) if number % 2 else (1, 0):
            begun = clock.monotonic()
            response = (known, unknown)[which]()
            took = clock.monotonic() - begun
            body = response.json() if response.content else {}
            bodies.add((response.status_code, body.get("type"), body.get("title"), body.get("detail")))
            if number >= 5:  # the first requests open connections
                times[which].append(took * 1000)
    difference = abs(statistics.median(times[0]) - statistics.median(times[1]))
    timing = {"name": f"{name}, time", "value": round(difference, 2), "unit": "ms", "bar": f"<= {BAR_MS:g}"}
    text = {"name": f"{name}, responses", "value": len(bodies), "unit": "different", "bar": "== 1"}
    return [timing | {"ok": difference <= BAR_MS}, text | {"ok": len(bodies) == 1}]


if __name__ == "__main__":
    for row in run(short=False):
        print(f"{row['name']}: {row['value']} {row['unit']}, {row['bar']}, {'ok' if row['ok'] else 'NOT ok'}")
