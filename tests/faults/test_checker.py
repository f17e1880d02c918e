"""Tests of the checker: it finds a planted violation of each kind, and none in valid data."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.orders import application as orders
from tests import dump
from tests.faults.checker import check, unfinished_work
from tests.faults.in_process import InProcessPlatform


@dataclass
class Data:
    """The data folder of a platform with a confirmed, a rejected and a canceled order, for tests to corrupt."""

    folder: Path
    user: str
    product: str
    confirmed: str
    rejected: str
    cancelled: str
    accepted: list[str] = field(default_factory=list)

    def change(self, place: str, id: str, **fields: Any) -> None:
        """Set fields of a document."""
        with self._rows(place) as (db, table):
            ((text,),) = db.execute(f'SELECT doc FROM "{table}" WHERE id = ?', (id,)).fetchall()
            db.execute(f'UPDATE "{table}" SET doc = ? WHERE id = ?', (orjson.dumps(orjson.loads(text) | fields), id))

    def remove(self, place: str, id: str) -> None:
        with self._rows(place) as (db, table):
            assert db.execute(f'DELETE FROM "{table}" WHERE id = ?', (id,)).rowcount == 1

    def copy(self, place: str, id: str, new: str, **fields: Any) -> None:
        with self._rows(place) as (db, table):
            ((text,),) = db.execute(f'SELECT doc FROM "{table}" WHERE id = ?', (id,)).fetchall()
            doc = orjson.loads(text) | {"_id": new} | fields
            db.execute(f'INSERT INTO "{table}" VALUES (?, ?)', (new, orjson.dumps(doc).decode()))

    def execute_on_bus(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.folder / "bus.db")) as db, db:
            assert db.execute(statement, values).rowcount > 0

    def _rows(self, place: str) -> "_Rows":
        service, table = place.split(".")
        return _Rows(self.folder / "store" / f"{service}.db", table)


class _Rows:
    def __init__(self, path: Path, table: str) -> None:
        self._db, self._table = sqlite3.connect(path), table

    def __enter__(self) -> tuple[sqlite3.Connection, str]:
        return self._db, self._table

    def __exit__(self, *error: object) -> None:
        self._db.commit()
        self._db.close()


@pytest.fixture(scope="module")
def valid_data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    platform = InProcessPlatform(tmp_path_factory.mktemp("valid"))
    confirmed, cancelled = platform.place_order(), platform.place_order(quantity=2)
    rejected = platform.place_order(token="tok_declined")
    orders.cancel(cancelled, "")
    platform.run_until_idle()
    platform.close()
    return Data(platform.folder, platform.user, platform.product, confirmed, rejected, cancelled)


@pytest.fixture
def data(valid_data: Data, tmp_path: Path) -> Data:
    return replace(valid_data, folder=shutil.copytree(valid_data.folder, tmp_path / "data"), accepted=[])


def test_valid_data_has_no_violation(data: Data) -> None:
    found = dump.read(data.folder)
    assert unfinished_work(found) == []
    assert check(found, [data.confirmed, data.rejected, data.cancelled]) == []


CORRUPTIONS: list[tuple[str, str, Callable[[Data], None]]] = [
    (
        "I1",
        "completed payment recorded as failed",
        lambda p: p.change("payments.payments", p.confirmed, status="failed"),
    ),
    ("I1", "payment without outcome", lambda p: p.change("payments.payments", p.rejected, status="unknown")),
    ("I1", "totals differ", lambda p: p.change("payments.test_provider_ledger", p.confirmed, captured=0)),
    ("I2", "captured twice", lambda p: p.change("payments.test_provider_ledger", p.confirmed, captured=2000)),
    (
        "I2",
        "refunded more than captured",
        lambda p: p.change("payments.test_provider_ledger", p.cancelled, refunded=9000),
    ),
    ("I3", "unit lost", lambda p: p.change("inventory.stock", p.product, available=8)),
    ("I3", "negative stock", lambda p: p.change("inventory.stock", p.product, available=-1, reserved=10)),
    ("I4", "reserved without reservation", lambda p: p.change("inventory.stock", p.product, available=8, reserved=1)),
    (
        "I4",
        "expired reservation kept",
        lambda p: p.change("inventory.reservations", p.confirmed, status="reserved", expiresAt="2020-01-01T00:00:00Z"),
    ),
    ("I4", "reservation half done", lambda p: p.change("inventory.reservations", p.rejected, stagePending=True)),
    ("I5", "accepted order absent", lambda p: p.accepted.append("absent")),
    ("I5", "open saga", lambda p: p.change("orders.sagas", p.confirmed, open=True)),
    ("I5", "order not final", lambda p: p.remove("orders.streams", f"{p.confirmed}:000002")),
    ("I6", "rejected order paid", lambda p: p.copy("payments.test_provider_ledger", p.confirmed, p.rejected)),
    (
        "I6",
        "confirmed order without sale",
        lambda p: p.change("inventory.reservations", p.confirmed, status="released"),
    ),
    ("I6", "rejected order with sale", lambda p: p.change("inventory.reservations", p.rejected, status="confirmed")),
    ("I6", "sold without reservation", lambda p: p.change("inventory.stock", p.product, available=8, sold=2)),
    ("I6", "confirmed order of an undone saga", lambda p: p.change("orders.sagas", p.confirmed, ended="undone")),
    ("I7", "pending event", lambda p: p.change("payments.payments", p.confirmed, pending=1)),
    ("I7", "event lost", lambda p: p.change("payments.payments", p.confirmed, seq=2)),
    ("I7", "pending commit", lambda p: p.change("orders.streams", f"{p.confirmed}:000002", pending=1)),
    ("I7", "notification missing", lambda p: p.remove("notifications.notifications", f"{p.confirmed}-2")),
    (
        "I7",
        "notification of another kind",
        lambda p: p.change("notifications.notifications", f"{p.confirmed}-2", kind="welcome"),
    ),
    (
        "I7",
        "consumer lag",
        lambda p: p.execute_on_bus("UPDATE committed SET offset = offset - 1 WHERE grp = 'notifications'"),
    ),
    ("I7", "inbox outdated", lambda p: p.change("payments.payments", p.cancelled, last_seq={"orders": 0})),
    ("I7", "refund event missing", lambda p: p.remove("orders.streams", _last_commit(p, "order.refund_noted"))),
    ("I7", "restock event duplicated", lambda p: _repeat_commit(p, "order.restock_noted")),
    ("I8", "published out of order", lambda p: _swap_sequences(p)),
    ("I8", "published with two contents", lambda p: _publish_again(p, b"{}")),
    ("I9", "published without commit", lambda p: _skip_sequence(p)),
    ("I9", "notification without event", lambda p: p.copy("notifications.notifications", f"{p.confirmed}-2", "x-1")),
    ("I9", "order without saga", lambda p: p.remove("orders.sagas", p.confirmed)),
    (
        "I9",
        "published content differs from commit",
        lambda p: p.change("orders.streams", f"{p.confirmed}:000002", data={"orderId": "other"}),
    ),
    ("I10", "missing version", lambda p: p.remove("orders.streams", f"{p.cancelled}:000002")),
    (
        "I10",
        "illegal transition",
        lambda p: p.change("orders.streams", f"{p.confirmed}:000002", type="order.delivered"),
    ),
    ("I9", "malformed record", lambda p: _make_malformed(p)),
    ("I14", "dead letter left", lambda p: _add_dead_letter(p)),
    ("I14", "malformed record not parked", lambda p: _make_malformed(p)),
    ("I15", "payment token kept", lambda p: p.change("orders.sagas", p.confirmed, data={"payment_token": "tok_ok"})),
    ("I16", "summary outdated", lambda p: p.change("orders.summaries", p.confirmed, status="pending")),
    ("I16", "summary missing", lambda p: p.remove("orders.summaries", p.rejected)),
    ("I16", "catalog shows another stock", lambda p: p.change("products.products", p.product, stock=10)),
    (
        "I16",
        "recipient with old address",
        lambda p: p.change("notifications.recipients", p.user, email="old@example.com"),
    ),
]


@pytest.mark.parametrize(
    ("number", "what", "corrupt"), CORRUPTIONS, ids=[f"{number} {what}" for number, what, _ in CORRUPTIONS]
)
def test_planted_violation_is_found(data: Data, number: str, what: str, corrupt: Callable[[Data], None]) -> None:
    corrupt(data)
    found = check(dump.read(data.folder), data.accepted)
    assert any(violation.startswith(f"{number} ") for violation in found), found


def _last_commit(p: Data, type: str) -> str:
    commits = dump.read(p.folder).docs("orders", "streams")
    return max(id for id, commit in commits.items() if commit["type"] == type)


def _repeat_commit(p: Data, type: str) -> None:
    commits = dump.read(p.folder).docs("orders", "streams")
    version = max(commit["version"] for commit in commits.values() if commit["stream"] == p.cancelled) + 1
    p.copy("orders.streams", _last_commit(p, type), f"{p.cancelled}:{version:06d}", version=version)


def _swap_sequences(p: Data) -> None:
    """Swap the sequence numbers of the two published events of the confirmed order."""
    for old, new in (("1", "9"), ("2", "1"), ("9", "2")):
        was, now = (f'"ce_sequence":"{number}"' for number in (old, new))
        change = "UPDATE records SET headers = replace(headers, ?, ?) WHERE key = ? AND headers LIKE '%order.%'"
        p.execute_on_bus(change, was, now, p.confirmed)


def _skip_sequence(p: Data) -> None:
    was, now = '"ce_sequence":"2"', '"ce_sequence":"3"'
    p.execute_on_bus("UPDATE records SET headers = replace(headers, ?, ?) WHERE key = ?", was, now, p.confirmed)


def _publish_again(p: Data, value: bytes) -> None:
    p.execute_on_bus(
        """INSERT INTO records SELECT partition, offset + 1000, time, key, ?, headers FROM records
           WHERE key = ? AND headers LIKE '%order.placed%'""",
        value,
        p.confirmed,
    )


def _make_malformed(p: Data) -> None:
    p.execute_on_bus("UPDATE records SET headers = '{}' WHERE key = ? AND headers LIKE '%order.placed%'", p.confirmed)


def _add_dead_letter(p: Data) -> None:
    with p._rows("notifications.dead_letters") as (db, table):
        dead_letter = {"_id": "orders.events:o1:1", "reason": "ValueError", "pending": 0}
        db.execute(f'INSERT INTO "{table}" VALUES (?, ?)', (dead_letter["_id"], orjson.dumps(dead_letter).decode()))
