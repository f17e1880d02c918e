"""Abuse: three accounts that try to change their password all the time, on 30 connections, beside buyers.

    quiet block ─► block beside the abusers ─► quiet block ─► ...

The blocks alternate, so that both kinds see the same machine; the result is the median of the ratios of each pair. In
every block, a reader fetches the signing keys. The rate limits are on. The abusers are a process of their own that
sends the next request as soon as it has a response.
"""

import multiprocessing
import selectors
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import orjson
import requests

from tests.bench.footprint import cpu_seconds
from tests.bench.shop import running_shop
from tests.system.platform import PASSWORD, Client, Shop

ACCOUNTS, CONNECTIONS = 3, 30
PAIRS, FEW_PAIRS = 21, 7
ORDERS = 40
"""Orders of a block."""
BUYERS = 3
"""Buyers who take turns: one alone would reach the limit of requests per minute."""
MAX_RATIO = 2.0
_KEYS_PAUSE_S = 0.05


def run(short: bool) -> list[dict[str, Any]]:
    """Measure checkouts alone and beside the abusers, in turns."""
    quiet_s, abused_s = list[list[float]](), list[list[float]]()
    statuses, abused_cpu_s = Counter[int](), 0.0
    with running_shop(rate_limits="on") as shop:
        abusers = [shop.shopper() for _ in range(ACCOUNTS)]
        product = shop.product(stock=100_000)
        buyers = [_order(shop.shopper(), product) for _ in range(BUYERS)]
        users = int(shop.process("users", "web")["pid"])
        for buyer in buyers:
            _seconds(buyer)
        with _Keys(shop) as keys:
            for pair in range(FEW_PAIRS if short else PAIRS):
                buyer = buyers[pair % BUYERS]
                quiet_s.append(_seconds(buyer))
                cpu_s = cpu_seconds([users])
                with _Abuse(shop, abusers) as abuse:
                    abused_s.append(_seconds(buyer))
                statuses += abuse.statuses
                abused_cpu_s += cpu_seconds([users]) - cpu_s
    ratio = statistics.median(_p95(abused) / _p95(quiet) for abused, quiet in zip(abused_s, quiet_s, strict=True))
    refused = statuses[429] / max(1, statuses.total())
    return [
        {"name": "checkout, p95, quiet", "value": statistics.median(map(_p95, quiet_s)) * 1000, "unit": "ms"},
        {"name": "checkout, p95, beside abuse", "value": statistics.median(map(_p95, abused_s)) * 1000, "unit": "ms"},
        _row("abused / quiet, median of pairs", ratio, f"<= {MAX_RATIO:g}", ratio <= MAX_RATIO),
        {"name": "abused / quiet, p95 of all checkouts", "value": _p95(sum(abused_s, [])) / _p95(sum(quiet_s, []))},
        _row("signing keys not answered", keys.failed, "== 0", keys.failed == 0 < keys.answered),
        _row("abusers' requests refused by 429", refused, "> 0.5", refused > 0.5),
        *({"name": f"abusers' requests, {status}", "value": statuses[status]} for status in sorted(statuses)),
        {"name": "CPU of users for each", "value": abused_cpu_s * 1000 / max(1, statuses.total()), "unit": "ms"},
    ]


def _row(name: str, value: float, bar: str, ok: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "bar": bar, "ok": ok}


def _order(buyer: Client, product: dict[str, Any]) -> Callable[[], None]:
    def order() -> None:
        response = buyer.order(product)
        assert response.status_code in (201, 202), response.text

    return order


def _seconds(order: Callable[[], None]) -> list[float]:
    """Return how long each checkout of a block takes."""
    times = []
    for _ in range(ORDERS):
        begun = time.perf_counter()
        order()
        times.append(time.perf_counter() - begun)
    return times


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[18]


class _Abuse:
    """The abusers, while the block runs; then `statuses` counts the responses that they got."""

    def __init__(self, shop: Shop, abusers: list[Client]) -> None:
        self.statuses: Counter[int] = Counter()
        self._ours, theirs = multiprocessing.Pipe()
        port = int(shop.process("users", "web")["port"])
        requests_ = [_password_change(abuser) for abuser in abusers]
        self._process = multiprocessing.Process(target=_send_until_told, args=(port, requests_, theirs), daemon=True)

    def __enter__(self) -> "_Abuse":
        self._process.start()
        assert self._ours.recv() == "begun"
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.send("stop")
        self.statuses = self._ours.recv()
        self._process.join()


class _Keys:
    """A reader of the signing keys, while the block runs, each time on a new connection."""

    def __init__(self, shop: Shop) -> None:
        self.answered = self.failed = 0
        self._url = f"{shop.url_of('users')}/api/auth/jwks.json"
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._read)

    def __enter__(self) -> "_Keys":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stop.wait(_KEYS_PAUSE_S):
            if requests.get(self._url, timeout=10).status_code == 200:
                self.answered += 1
            else:
                self.failed += 1


def _password_change(abuser: Client) -> bytes:
    """Return a request that makes the platform hash; its own password is wrong, so that the session goes on."""
    body = orjson.dumps({"password": f"new {PASSWORD}", "currentPassword": f"not {PASSWORD}"})
    head = f"PUT /api/users/{abuser.id} HTTP/1.1\r\nHost: users\r\nAuthorization: Bearer {abuser.token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _send_until_told(port: int, sent: list[bytes], told: Connection) -> None:
    """Send the next request on each connection as soon as it has a response, and report the statuses at the end."""
    statuses: Counter[int] = Counter()
    with selectors.DefaultSelector() as selector:
        for number in range(CONNECTIONS):
            _connect(port, sent[number % len(sent)], selector)
        told.send("begun")
        while not told.poll():
            for key, _ in selector.select(0.1):
                connection, request = key.fileobj, key.data
                response = connection.recv(65536)  # type: ignore[union-attr]
                if response.startswith(b"HTTP/1.1 "):
                    statuses[int(response[9:12])] += 1
                if not response or b"connection: close" in response.lower():
                    selector.unregister(connection)
                    connection.close()  # type: ignore[union-attr]
                    _connect(port, request, selector)
                elif response.startswith(b"HTTP/1.1 "):
                    connection.sendall(request)  # type: ignore[union-attr]
    told.send(statuses)


def _connect(port: int, request: bytes, selector: selectors.BaseSelector) -> None:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    selector.register(connection, selectors.EVENT_READ, request)
    connection.sendall(request)


if __name__ == "__main__":
    for row in run(short=False):
        print(row)
