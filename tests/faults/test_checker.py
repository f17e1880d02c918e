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
        lambda data: data.change("payments.payments", data.confirmed, status="failed"),
    ),
    ("I1", "payment without outcome", lambda data: data.change("payments.payments", data.rejected, status="unknown")),
    ("I1", "totals differ", lambda data: data.change("payments.test_provider_ledger", data.confirmed, captured=0)),
    ("I2", "captured twice", lambda data: data.change("payments.test_provider_ledger", data.confirmed, captured=2000)),
    (
        "I2",
        "refunded more than captured",
        lambda data: data.change("payments.test_provider_ledger", data.cancelled, refunded=9000),
    ),
    ("I3", "unit lost", lambda data: data.change("inventory.stock", data.product, available=8)),
    ("I3", "negative stock", lambda data: data.change("inventory.stock", data.product, available=-1, reserved=10)),
    (
        "I4",
        "reserved without reservation",
        lambda data: data.change("inventory.stock", data.product, available=8, reserved=1),
    ),
    (
        "I4",
        "expired reservation kept",
        lambda data: data.change(
            "inventory.reservations", data.confirmed, status="reserved", expiresAt="2020-01-01T00:00:00Z"
        ),
    ),
    (
        "I4",
        "reservation half done",
        lambda data: data.change("inventory.reservations", data.rejected, stagePending=True),
    ),
    ("I5", "accepted order absent", lambda data: data.accepted.append("absent")),
    ("I5", "open saga", lambda data: data.change("orders.sagas", data.confirmed, open=True)),
    ("I5", "order not final", lambda data: data.remove("orders.streams", f"{data.confirmed}:000002")),
    (
        "I6",
        "rejected order paid",
        lambda data: data.copy("payments.test_provider_ledger", data.confirmed, data.rejected),
    ),
    (
        "I6",
        "confirmed order without sale",
        lambda data: data.change("inventory.reservations", data.confirmed, status="released"),
    ),
    (
        "I6",
        "rejected order with sale",
        lambda data: data.change("inventory.reservations", data.rejected, status="confirmed"),
    ),
    ("I6", "sold without reservation", lambda data: data.change("inventory.stock", data.product, available=8, sold=2)),
    (
        "I6",
        "confirmed order of an undone saga",
        lambda data: data.change("orders.sagas", data.confirmed, ended="undone"),
    ),
    ("I7", "pending event", lambda data: data.change("payments.payments", data.confirmed, pending=1)),
    ("I7", "event lost", lambda data: data.change("payments.payments", data.confirmed, seq=2)),
    ("I7", "pending commit", lambda data: data.change("orders.streams", f"{data.confirmed}:000002", pending=1)),
    ("I7", "notification missing", lambda data: data.remove("notifications.notifications", f"{data.confirmed}-2")),
    (
        "I7",
        "notification of another kind",
        lambda data: data.change("notifications.notifications", f"{data.confirmed}-2", kind="welcome"),
    ),
    (
        "I7",
        "consumer lag",
        lambda data: data.execute_on_bus("UPDATE committed SET offset = offset - 1 WHERE grp = 'notifications'"),
    ),
    ("I7", "inbox outdated", lambda data: data.change("payments.payments", data.cancelled, last_seq={"orders": 0})),
    (
        "I7",
        "refund event missing",
        lambda data: data.remove("orders.streams", _last_commit(data, "order.refund_noted")),
    ),
    ("I7", "restock event duplicated", lambda data: _repeat_commit(data, "order.restock_noted")),
    ("I8", "published out of order", lambda data: _swap_sequences(data)),
    ("I8", "published with two contents", lambda data: _publish_again(data, b"{}")),
    ("I9", "published without commit", lambda data: _skip_sequence(data)),
    (
        "I9",
        "notification without event",
        lambda data: data.copy("notifications.notifications", f"{data.confirmed}-2", "x-1"),
    ),
    ("I9", "order without saga", lambda data: data.remove("orders.sagas", data.confirmed)),
    (
        "I9",
        "published content differs from commit",
        lambda data: data.change("orders.streams", f"{data.confirmed}:000002", data={"orderId": "other"}),
    ),
    ("I10", "missing version", lambda data: data.remove("orders.streams", f"{data.cancelled}:000002")),
    (
        "I10",
        "illegal transition",
        lambda data: data.change("orders.streams", f"{data.confirmed}:000002", type="order.delivered"),
    ),
    ("I9", "malformed record", lambda data: _make_malformed(data)),
    ("I14", "dead letter left", lambda data: _add_dead_letter(data)),
    ("I14", "malformed record not parked", lambda data: _make_malformed(data)),
    (
        "I15",
        "payment token kept",
        lambda data: data.change("orders.sagas", data.confirmed, data={"payment_token": "tok_ok"}),
    ),
    ("I16", "summary outdated", lambda data: data.change("orders.summaries", data.confirmed, status="pending")),
    ("I16", "summary missing", lambda data: data.remove("orders.summaries", data.rejected)),
    ("I16", "catalog shows another stock", lambda data: data.change("products.products", data.product, stock=10)),
    (
        "I16",
        "stock event not consumed",
        lambda data: data.change("products.products", data.product, last_seq={"inventory": 1}),
    ),
    (
        "I16",
        "recipient with old address",
        lambda data: data.change("notifications.recipients", data.user, email="old@example.com"),
    ),
]


@pytest.mark.parametrize(
    ("number", "what", "corrupt"), CORRUPTIONS, ids=[f"{number} {what}" for number, what, _ in CORRUPTIONS]
)
def test_planted_violation_is_found(data: Data, number: str, what: str, corrupt: Callable[[Data], None]) -> None:
    corrupt(data)
    found = check(dump.read(data.folder), data.accepted)
    assert any(violation.startswith(f"{number} ") for violation in found), found


def _last_commit(data: Data, type: str) -> str:
    commits = dump.read(data.folder).docs("orders", "streams")
    return max(id for id, commit in commits.items() if commit["type"] == type)


def _repeat_commit(data: Data, type: str) -> None:
    commits = dump.read(data.folder).docs("orders", "streams")
    version = max(commit["version"] for commit in commits.values() if commit["stream"] == data.cancelled) + 1
    data.copy("orders.streams", _last_commit(data, type), f"{data.cancelled}:{version:06d}", version=version)


def _swap_sequences(data: Data) -> None:
    """Swap the sequence numbers of the two published events of the confirmed order."""
    for old, new in (("1", "9"), ("2", "1"), ("9", "2")):
        was, now = (f'"ce_sequence":"{number}"' for number in (old, new))
        change = "UPDATE records SET headers = replace(headers, ?, ?) WHERE key = ? AND headers LIKE '%order.%'"
        data.execute_on_bus(change, was, now, data.confirmed)


def _skip_sequence(data: Data) -> None:
    was, now = '"ce_sequence":"2"', '"ce_sequence":"3"'
    data.execute_on_bus("UPDATE records SET headers = replace(headers, ?, ?) WHERE key = ?", was, now, data.confirmed)


def _publish_again(data: Data, value: bytes) -> None:
    data.execute_on_bus(
        """INSERT INTO records SELECT partition, offset + 1000, time, key, ?, headers FROM records
           WHERE key = ? AND headers LIKE '%order.placed%'""",
        value,
        data.confirmed,
    )


def _make_malformed(data: Data) -> None:
    data.execute_on_bus(
        "UPDATE records SET headers = '{}' WHERE key = ? AND headers LIKE '%order.placed%'", data.confirmed
    )


def _add_dead_letter(data: Data) -> None:
    with data._rows("notifications.dead_letters") as (db, table):
        dead_letter = {"_id": "orders.events:o1:1", "reason": "ValueError", "pending": 0}
        db.execute(f'INSERT INTO "{table}" VALUES (?, ?)', (dead_letter["_id"], orjson.dumps(dead_letter).decode()))
