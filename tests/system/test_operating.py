"""The operator's commands on a running platform: status, outboxes, sagas, read models, dead letters."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chassis import clock
from chassis.bus import Record
from mercato.catalog import catalog, processes
from tests.system.platform import Client, Shop, eventually, expect
from tests.system.running import image

SERVICES = {name for name, entry in catalog().items() if entry.worker}
"""Those that store something: each has a worker."""


def rows(shop: Shop, *command: str, code: int = 0) -> list[dict[str, Any]]:
    """Return the rows that a command prints with --json, one per line."""
    done = shop.mercato(*command, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def printed(shop: Shop, *command: str) -> str:
    done = shop.mercato(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shown(shop: Shop, *command: str) -> dict[str, Any]:
    """Return the object that a command prints."""
    found: dict[str, Any] = json.loads(printed(shop, *command))
    return found


def test_status_shows_every_process_ready(shop: Shop) -> None:
    status = shown(shop, "status", "--json")
    assert status["ready"] is True
    assert all(process["ready"] for process in status["processes"])
    found = {(process["name"], process["kind"]) for process in status["processes"]}
    assert found == {*processes(), ("router", "router")}


def test_outboxes_become_empty(shop: Shop, buyer: Client) -> None:
    buyer.buy(shop.product())
    assert {row["service"] for row in rows(shop, "outbox")} == SERVICES
    eventually(lambda: not any(row["pending"] for row in rows(shop, "outbox")))


def test_open_saga_is_listed_and_shown_without_its_secret(shop: Shop, buyer: Client) -> None:
    with shop.undecided_payments():
        order = expect(buyer.order(shop.product(), paymentToken="tok_slow"), 202)["id"]
        (saga,) = (row for row in rows(shop, "sagas", "list") if row["id"] == order)
        assert (saga["saga"], saga["at"]) == ("checkout", "take payment")
        assert "tok_slow" not in printed(shop, "sagas", "show", order)
    buyer.final_order(order)
    eventually(lambda: order in [saga["_id"] for saga in shop.documents("orders", "sagas") if saga["ended"]])
    assert order not in [row["id"] for row in rows(shop, "sagas", "list")]
    assert order in [row["id"] for row in rows(shop, "sagas", "list", "--all")]
    assert shop.mercato("sagas", "show", "none").returncode == 1


@pytest.mark.embedded
def test_replay_finds_and_repairs_wrong_summaries(shop: Shop, buyer: Client) -> None:
    broken, lost = (buyer.buy(shop.product())["id"] for _ in range(2))
    before = buyer.items("/api/orders")
    eventually(lambda: not any(saga["open"] for saga in shop.documents("orders", "sagas")))
    assert rows(shop, "replay", "orders") == []
    with closing(sqlite3.connect(shop.data / "store" / "orders.db", timeout=10)) as db, db:
        db.execute("UPDATE summaries SET doc = json_set(doc, '$.status', 'rejected') WHERE id = ?", (broken,))
        db.execute("DELETE FROM summaries WHERE id = ?", (lost,))
    assert buyer.items("/api/orders") != before
    repaired = {row["id"]: row for row in rows(shop, "replay", "orders", code=1)}
    assert repaired.keys() == {broken, lost}
    assert json.loads(repaired[broken]["was"])["status"] == "rejected"
    assert json.loads(repaired[broken]["is"])["status"] == "confirmed"
    assert repaired[lost]["was"] == ""
    assert rows(shop, "replay", "orders") == []
    assert buyer.items("/api/orders") == before


def publish(shop: Shop, topic: str, key: str, value: bytes, headers: dict[str, str]) -> None:
    with closing(shop.bus()) as bus:
        assert bus.publish([Record(topic, key, value, headers)], timeout_s=5) == [None]


def cloud_event(type: str, key: str, sequence: int = 1) -> dict[str, str]:
    return {
        "ce_specversion": "1.0",
        "ce_id": f"{key}:{sequence}",
        "ce_source": "orders",
        "ce_type": type,
        "ce_time": clock.timestamp(),
        "ce_subject": key,
        "ce_sequence": str(sequence),
        "content-type": "application/json",
    }


def parked(shop: Shop, service: str, key: str) -> list[dict[str, Any]]:
    """Return the dead letters of a key in the store of a service."""
    return [doc for doc in shop.documents(service, "dead_letters") if doc["key"] == key]


def test_malformed_records_are_parked_and_block_no_other_key(shop: Shop, buyer: Client) -> None:
    key = clock.new_id()
    publish(shop, "orders.events", key, b'{"orderId": 7}', cloud_event("order.cancelled", key))
    publish(shop, "orders.events", key, b"\x00 no JSON", cloud_event("order.cancelled", key, 2))
    publish(shop, "orders.events", key, b"{}", {})
    publish(shop, "orders.events", key, b"{}", cloud_event("order.teleported", key, 3))
    consumers = ("orders", "inventory", "payments", "notifications", "carts")
    eventually(lambda: all(len(parked(shop, service, key)) == 4 for service in consumers))
    listed = [row for row in rows(shop, "dlq", "list") if row["id"] == f"orders.events:{key}:1"]
    assert {row["service"] for row in listed} == set(consumers)
    assert all("orderId" in row["reason"] for row in listed)
    dead_letter = shown(shop, "dlq", "show", "payments", listed[0]["id"])
    assert (dead_letter["key"], dead_letter["value"], dead_letter["handler"]) == (
        key,
        '{"orderId": 7}',
        "on_order_cancelled",
    )

    order = buyer.buy(shop.product())["id"]
    notified = eventually(lambda: [item for item in buyer.items("/api/notifications") if order in item["body"]])
    assert [item["kind"] for item in notified] == ["order_confirmed"]

    redrive = ("dlq", "redrive", "--key", key, "--service", "payments")
    assert "4 dead letters would be handled again" in printed(shop, *redrive, "--dry-run")
    assert "4 dead letters are being handled again" in printed(shop, *redrive)
    eventually(lambda: any(again["attempts"] > dead_letter["attempts"] for again in parked(shop, "payments", key)))
    assert len(parked(shop, "payments", key)) == 4


def test_dead_letter_is_listed_with_those_behind_it_and_discarded(shop: Shop) -> None:
    key, times = clock.new_id(), ("2026-11-30t11:00:00z", "2016-12-31T23:59:60Z", "yesterday", "2026-11-30T11:00:00Z")
    for sequence, time in enumerate(times, 1):
        headers = {**cloud_event("order.cancelled", key, sequence), "ce_time": time}
        publish(shop, "orders.events", key, b'{"orderId": 7}', headers)
    eventually(lambda: len(parked(shop, "payments", key)) == 4)
    listed = [row for row in rows(shop, "dlq", "list", "--service", "payments") if row["key"] == key]
    assert {row["type"] for row in listed} == {"order.cancelled"}
    by_reason = {row["reason"].split(":")[0]: (row["attempts"], row["behind"]) for row in listed}
    assert by_reason == {
        "invalid data": (1, 2),
        "an earlier event of this key is parked": (0, 0),
        "not readable": (1, 0),
    }
    first = next(row for row in listed if row["behind"] == 2)
    assert shop.mercato("dlq", "discard", "payments", first["id"]).returncode == 2, "it needs a reason"
    told = printed(shop, "dlq", "discard", "payments", first["id"], "--reason", "a test event")
    assert (
        f"2 events of its key are still parked; handle them with: mercato dlq redrive --service payments --key {key}"
        in told
    )
    assert len(parked(shop, "payments", key)) == 3
    (discarded,) = (row for row in rows(shop, "dlq", "list", "--discarded") if row["key"] == key)
    assert (discarded["service"], discarded["id"], discarded["reason"]) == ("payments", first["id"], "a test event")
    assert len(parked(shop, "notifications", key)) == 4, "the dead letters of other services stay"


@pytest.mark.embedded
def test_entry_that_is_set_aside_is_listed_and_tried_again(shop: Shop) -> None:
    def pending(id: str) -> int:
        (count,) = (doc["pending"] for doc in shop.documents("products", "products") if doc["_id"] == id)
        return int(count)

    product = shop.product()["id"]
    eventually(lambda: pending(product) == 0)
    entry = {"seq": 2, "type": "product.updated", "time": "2026-11-30T11:00:00.000Z"}  # without its data
    with closing(sqlite3.connect(shop.data / "store" / "products.db", timeout=10)) as db, db:
        broken = "json_set(doc, '$.outbox', json(?), '$.pending', 1)"
        db.execute(f"UPDATE products SET doc = {broken} WHERE id = ?", (json.dumps([entry]), product))  # noqa: S608
    eventually(lambda: shop.documents("products", "set_aside"))
    other = shop.product()["id"]
    eventually(lambda: pending(other) == 0)
    assert pending(product) == 1, "it is kept, and the others go on"
    found = {row["collection"]: row for row in rows(shop, "outbox", "--service", "products")}
    assert (found["products"]["setAside"], found["products"]["pending"]) == (1, 0)
    (aside,) = rows(shop, "outbox", "--set-aside", "--service", "products")
    assert (aside["source"], aside["id"], aside["attempts"], aside["reason"][:8]) == (
        "products",
        product,
        3,
        "KeyError",
    )
    with closing(sqlite3.connect(shop.data / "store" / "products.db", timeout=10)) as db, db:
        repaired = json.dumps([{**entry, "data": {"productId": product}, "traceparent": ""}])
        db.execute("UPDATE products SET doc = json_set(doc, '$.outbox', json(?)) WHERE id = ?", (repaired, product))
    assert "products: 1 entries are being tried again" in printed(shop, "outbox", "--retry", "--service", "products")
    eventually(lambda: pending(product) == 0)
    assert shop.documents("products", "set_aside") == []


@contextmanager
def failing_on(shop: Shop, word: str) -> Iterator[None]:
    """Let notifications fail to write what contains this word, as a defect in a handler would."""
    with closing(sqlite3.connect(shop.data / "store" / "notifications.db", timeout=10)) as db:
        db.execute(
            "CREATE TRIGGER defect BEFORE INSERT ON notifications WHEN instr(NEW.doc, "
            f"'{word}') BEGIN SELECT json_extract('a defect', '$.x'); END"
        )
        try:
            yield
        finally:
            db.execute("DROP TRIGGER defect")


@pytest.mark.embedded
def test_redrive_handles_dead_letters_in_order_after_a_fix(shop: Shop, admin: Client, buyer: Client) -> None:
    with failing_on(shop, buyer.id):
        order = buyer.buy(shop.product())["id"]
        eventually(lambda: parked(shop, "notifications", order))
        expect(admin.post(f"/api/orders/{order}/ship"), 200)
        expect(admin.post(f"/api/orders/{order}/deliver"), 200)
        eventually(lambda: len(parked(shop, "notifications", order)) == 3)
        assert order not in str(buyer.items("/api/notifications"))
    assert "3 dead letters are being handled" in printed(shop, "dlq", "redrive", "--key", order)
    eventually(lambda: not parked(shop, "notifications", order))
    notified = [item["kind"] for item in buyer.items("/api/notifications") if order in item["body"]]
    assert notified[::-1] == ["order_confirmed", "order_shipped", "order_delivered"]


def test_commands_cover_the_installed_service_only(tmp_path: Path) -> None:
    alone = image(tmp_path, "orders")
    listed = alone.mercato("outbox", "--json")
    assert {json.loads(line)["service"] for line in listed.stdout.splitlines()} == {"orders"}, listed.stderr
    other = alone.mercato("dlq", "show", "users", "1")
    assert (other.returncode, "the code of users is not installed here" in other.stderr) == (1, True), other.stderr
