"""Abuse: three accounts that try to change their password all the time, on 30 connections, beside a buyer.

    quiet: checkouts alone ─► abuse: checkouts and signing keys, beside the abusers

The rate limits are on. The abusers are a process of their own that sends the next request as soon as it has a response.
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

from tests.bench.shop import running_shop
from tests.system.platform import PASSWORD, Client, Shop

ACCOUNTS, CONNECTIONS = 3, 30
ORDERS, FEW_ORDERS = 200, 50
BESIDE_ABUSE = 3
"""Orders beside the abusers for each of the quiet ones: the abusers are refused after their first second."""
WARM_UP_ORDERS = 10
MAX_RATIO = 2.0
_KEYS_PAUSE_S = 0.05


def run(short: bool) -> list[dict[str, Any]]:
    """Measure the checkouts of one buyer, first alone, then beside the abusers."""
    orders = FEW_ORDERS if short else ORDERS
    with running_shop(rate_limits="on") as shop:
        abusers = [shop.shopper() for _ in range(ACCOUNTS)]
        buyer, product = shop.shopper(), shop.product(stock=10_000)
        order = _order(buyer, product)
        for _ in range(WARM_UP_ORDERS):
            order()
        quiet_s = _p95_s(order, orders)
        with _Abuse(shop, abusers) as abuse, _Keys(shop) as keys:
            abused_s = _p95_s(order, BESIDE_ABUSE * orders)
    statuses, ratio = abuse.statuses, abused_s / quiet_s
    refused = statuses[429] / max(1, statuses.total())
    return [
        {"name": "checkout, p95, quiet", "value": quiet_s * 1000, "unit": "ms"},
        {"name": "checkout, p95, beside abuse", "value": abused_s * 1000, "unit": "ms"},
        _row("abused / quiet", ratio, f"<= {MAX_RATIO:g}", ratio <= MAX_RATIO) | {"goal": True},
        _row("signing keys not answered", keys.failed, "== 0", keys.failed == 0 < keys.answered),
        _row("abusers' requests refused by 429", refused, "> 0.5", refused > 0.5),
        {"name": "abusers' requests", "value": statuses.total(), "unit": ""},
    ]


def _row(name: str, value: float, bar: str, ok: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "", "bar": bar, "ok": ok}


def _order(buyer: Client, product: dict[str, Any]) -> Callable[[], None]:
    def order() -> None:
        response = buyer.order(product)
        assert response.status_code in (201, 202), response.text

    return order


def _p95_s(order: Callable[[], None], orders: int) -> float:
    times = []
    for _ in range(orders):
        begun = time.perf_counter()
        order()
        times.append(time.perf_counter() - begun)
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
