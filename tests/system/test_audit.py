"""`mercato audit` on a platform that sells: silent while all agrees, and by name what does not."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chassis import clock
from tests.system.platform import Client, Shop, eventually, expect
from tests.system.running import Platform

pytestmark = pytest.mark.embedded
NOUNS = {"orders", "payments", "reservations", "products"}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A platform of this file alone, whose books are harmed and mended."""
    platform = Shop(tmp_path_factory.mktemp("audited"), RATE_LIMITS="off")
    try:
        yield platform.up()
    finally:
        platform.down()


def audit(shop: Platform, *services: str, code: int = 0) -> tuple[list[str], dict[str, Any]]:
    """(what was found, a line each; the summary)."""
    done = shop.mercato("audit", *services, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    *rows, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum("unseen" in row for row in rows) == summary["unseen"]
    return [" ".join([*map(str, row.values())]) for row in rows], summary


@contextmanager
def harm(shop: Shop, service: str, statement: str, *values: object) -> Iterator[None]:
    """Change what a service has stored, as no code of ours would; inside, it is so."""
    path = shop.data / "store" / f"{service}.db"
    table = statement.split()[2 if statement.startswith(("DELETE", "INSERT")) else 1]
    with closing(sqlite3.connect(path, timeout=10)) as db:
        before = db.execute(f"SELECT id, doc FROM {table}").fetchall()
        with db:
            assert db.execute(statement, values).rowcount == 1, statement
        try:
            yield
        finally:
            with db:
                db.execute(f"DELETE FROM {table}")
                db.executemany(f"INSERT INTO {table} (id, doc) VALUES (?, ?)", before)


@pytest.fixture(scope="module")
def story(audited: Shop) -> dict[str, str]:
    """Orders that ended in each way, and their product, once everything has come to rest."""
    buyer, admin, product = audited.shopper(), audited.admin(), audited.product(stock=50)
    ids = {"product": product["id"]}
    ids["confirmed"], ids["shipped"], ids["cancelled"] = (buyer.buy(product, quantity=2)["id"] for _ in range(3))
    expect(admin.post(f"/api/orders/{ids['shipped']}/ship"), 200)
    expect(buyer.post(f"/api/orders/{ids['cancelled']}/cancel"), 200)
    ids["rejected"] = buyer.order(product, paymentToken="tok_declined").json()["orderId"]
    eventually(lambda: noted(audited, ids["cancelled"]) == {"order.refund_noted", "order.restock_noted"})
    return ids


def noted(shop: Shop, order: str) -> set[str]:
    streams = shop.documents("orders", "streams")
    return {each["type"] for each in streams if each["stream"] == order and each["type"].endswith("_noted")}


def test_all_agrees_after_orders_cancellations_and_refunds(audited: Shop, story: dict[str, str]) -> None:
    found, summary = audit(audited)
    assert found == []
    assert summary == {
        "lookedAt": {"products": 1, "reservations": 4, "orders": 4, "payments": 4},
        "findings": 0,
        "unseen": 0,
    }
