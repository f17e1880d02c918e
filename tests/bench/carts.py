"""Carts: adding to a line costs a request and one guarded update; a cart is read while `products` is stopped."""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from chassis.store import Collection
from chassis.store.sqlite.store import SqliteStore
from tests.bench.shop import running_shop
from tests.system.platform import Client, expect

TURNS, FEW_TURNS = 400, 120
UNITS = 90
"""Adds to one line before it is emptied: it holds 99."""
MAX_RATIO = 1.3
MAX_STOPPED_MS = 300.0


def run(short: bool) -> list[dict[str, Any]]:
    """Compare an add with a read of the same cart plus a bare update of a document as large."""
    turns = FEW_TURNS if short else TURNS
    with running_shop() as shop, tempfile.TemporaryDirectory() as folder:
        buyer, product = shop.shopper(), shop.product(stock=1_000)["id"]
        client = Client(shop.url_of("carts"), buyer.token)
        body = {"productId": product, "quantity": 1}
        expect(client.post("/api/carts/mine/items", body), 200)
        (cart,) = (doc for doc in shop.documents("carts", "carts") if doc["_id"] == buyer.id)
        times: dict[str, list[float]] = {"add": [], "read": [], "update": []}
        with closing(SqliteStore(Path(folder) / "bare.db")) as store:
            bare = Collection("carts").attach(store)
            bare.ensure_indexes()
            bare.insert({name: value for name, value in cart.items() if name != "_w"})
            line = f"items.{product}.quantity"
            for turn in range(turns):
                if turn % UNITS == UNITS - 1:
                    expect(client.put(f"/api/carts/mine/items/{product}", {"quantity": 1}), 200)
                times["add"].append(_timed(lambda: expect(client.post("/api/carts/mine/items", body), 200)))
                times["read"].append(_timed(lambda: expect(client.get("/api/carts/mine"), 200)))
                update, guard = {"$inc": {line: 1}}, {line: {"$lt": 1_000_000}}
                times["update"].append(_timed(lambda: bare.update(buyer.id, update, when=guard)))  # noqa: B023
        stopped = _read_while_stopped(shop, client)
    add, read, update_ms = (statistics.median(times[name]) for name in ("add", "read", "update"))
    ratio = add / (read + update_ms)
    return [
        {"name": "add to a line, p50", "value": add, "unit": "ms"},
        {"name": "read of the cart, p50", "value": read, "unit": "ms"},
        {"name": "bare guarded update, p50", "value": update_ms, "unit": "ms"},
        {"name": "add / (read + update)", "value": ratio, "bar": f"<= {MAX_RATIO}", "ok": ratio <= MAX_RATIO},
        {
            "name": "read while products is stopped, p50",
            "value": stopped,
            "unit": "ms",
            "bar": f"<= {MAX_STOPPED_MS:g}",
            "ok": stopped <= MAX_STOPPED_MS,
            "goal": True,
        },
    ]


def _read_while_stopped(shop: Any, client: Client) -> float:
    """Return the milliseconds of a read once the circuit to `products` is open."""
    with shop.frozen("products"):
        times = [_timed(lambda: expect(client.get("/api/carts/mine"), 200)) for _ in range(30)]
    return statistics.median(times)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000
