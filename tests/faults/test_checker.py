"""A checker that cannot fail is worthless: a violation of each kind is planted in a sound store, and must be seen."""

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
class Planted:
    """A sound store of a confirmed, a rejected and a cancelled order, to do harm to."""

    folder: Path
    user: str
    product: str
    confirmed: str
    rejected: str
    cancelled: str
    accepted: list[str] = field(default_factory=list)

    def change(self, place: str, id: str, **fields: Any) -> None:
        """Set fields of a document, as no code of ours would."""
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

    def log(self, statement: str, *values: Any) -> None:
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
def sound(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    small = InProcessPlatform(tmp_path_factory.mktemp("sound"))
    confirmed, cancelled, rejected = small.order(), small.order(quantity=2), small.order(token="tok_declined")
    orders.cancel(cancelled, "")
    small.settle()
    small.close()
    return Planted(small.folder, small.user, small.product, confirmed, rejected, cancelled)


@pytest.fixture
def planted(sound: Planted, tmp_path: Path) -> Planted:
    return replace(sound, folder=shutil.copytree(sound.folder, tmp_path / "data"), accepted=[])


def test_a_sound_store_has_no_violation(planted: Planted) -> None:
    found = dump.read(planted.folder)
    assert unfinished_work(found) == []
    assert check(found, [planted.confirmed, planted.rejected, planted.cancelled]) == []


HARM: list[tuple[str, str, Callable[[Planted], None]]] = [
    ("I1", "payments forgets a payment", lambda p: p.change("payments.payments", p.confirmed, status="failed")),
    ("I1", "a payment stays undecided", lambda p: p.change("payments.payments", p.rejected, status="unknown")),
    ("I1", "the sums differ", lambda p: p.change("payments.test_provider_ledger", p.confirmed, captured=0)),
    ("I2", "captured twice", lambda p: p.change("payments.test_provider_ledger", p.confirmed, captured=2000)),
    ("I2", "refunded more", lambda p: p.change("payments.test_provider_ledger", p.cancelled, refunded=9000)),
    ("I3", "a unit is lost", lambda p: p.change("inventory.stock", p.product, available=8)),
    ("I3", "below zero", lambda p: p.change("inventory.stock", p.product, available=-1, reserved=10)),
    ("I4", "reserved by nobody", lambda p: p.change("inventory.stock", p.product, available=8, reserved=1)),
    (
        "I4",
        "held long after its time",
        lambda p: p.change("inventory.reservations", p.confirmed, status="reserved", expiresAt="2020-01-01T00:00:00Z"),
    ),
    ("I4", "left half done", lambda p: p.change("inventory.reservations", p.rejected, working=True)),
    ("I5", "accepted and gone", lambda p: p.accepted.append("closed_address")),
    ("I5", "a saga stays open", lambda p: p.change("orders.sagas", p.confirmed, open=True)),
    ("I5", "not final", lambda p: p.remove("orders.streams", f"{p.confirmed}:000002")),
    ("I6", "a rejected order is paid", lambda p: p.copy("payments.test_provider_ledger", p.confirmed, p.rejected)),
    ("I6", "confirmed, not sold", lambda p: p.change("inventory.reservations", p.confirmed, status="released")),
    ("I6", "rejected, still held", lambda p: p.change("inventory.reservations", p.rejected, status="confirmed")),
    ("I6", "sold by nobody", lambda p: p.change("inventory.stock", p.product, available=8, sold=2)),
    ("I6", "undone, but confirmed", lambda p: p.change("orders.sagas", p.confirmed, ended="undone")),
    ("I7", "not yet published", lambda p: p.change("payments.payments", p.confirmed, pending=1)),
    ("I7", "lost on the way", lambda p: p.change("payments.payments", p.confirmed, seq=2)),
    ("I7", "a commit unpublished", lambda p: p.change("orders.streams", f"{p.confirmed}:000002", pending=1)),
    ("I7", "nobody told", lambda p: p.remove("notifications.notifications", f"{p.confirmed}-2")),
    ("I7", "told otherwise", lambda p: p.change("notifications.notifications", f"{p.confirmed}-2", kind="welcome")),
    ("I7", "not taken in", lambda p: p.log("UPDATE committed SET offset = offset - 1 WHERE grp = 'notifications'")),
    ("I7", "inbox behind", lambda p: p.change("payments.payments", p.cancelled, last_seq={"orders": 0})),
    ("I7", "a refund not noted", lambda p: p.remove("orders.streams", _last(p, "order.refund_noted"))),
    ("I7", "a restock noted twice", lambda p: _note_again(p, "order.restock_noted")),
    ("I8", "published in wrong order", lambda p: _swap(p)),
    ("I8", "published with two contents", lambda p: _publish_again(p, b"{}")),
    ("I9", "published without commit", lambda p: _renumber(p)),
    ("I9", "told without event", lambda p: p.copy("notifications.notifications", f"{p.confirmed}-2", "x-1")),
    ("I9", "an order without saga", lambda p: p.remove("orders.sagas", p.confirmed)),
    ("I9", "another content", lambda p: p.change("orders.streams", f"{p.confirmed}:000002", data={"orderId": "other"})),
    ("I10", "a version is missing", lambda p: p.remove("orders.streams", f"{p.cancelled}:000002")),
    ("I10", "an illegal status", lambda p: p.change("orders.streams", f"{p.confirmed}:000002", type="order.delivered")),
    ("I9", "a record that nobody can read", lambda p: _make_unreadable(p)),
    ("I14", "parked", lambda p: _park(p)),
    ("I14", "unreadable, and not parked", lambda p: _make_unreadable(p)),
    ("I15", "a token is kept", lambda p: p.change("orders.sagas", p.confirmed, data={"payment_token": "tok_ok"})),
    ("I16", "the list is behind", lambda p: p.change("orders.summaries", p.confirmed, status="pending")),
    ("I16", "the list has lost one", lambda p: p.remove("orders.summaries", p.rejected)),
    ("I16", "the catalogue shows another stock", lambda p: p.change("products.products", p.product, stock=10)),
    ("I16", "an old address", lambda p: p.change("notifications.recipients", p.user, email="old@example.com")),
]


@pytest.mark.parametrize(("number", "what", "harm"), HARM, ids=[f"{number} {what}" for number, what, _ in HARM])
def test_a_planted_violation_is_seen(planted: Planted, number: str, what: str, harm: Callable[[Planted], None]) -> None:
    harm(planted)
    found = check(dump.read(planted.folder), planted.accepted)
    assert any(line.startswith(f"{number} ") for line in found), found


def _last(p: Planted, type: str) -> str:
    commits = dump.read(p.folder).docs("orders", "streams")
    return max(id for id, commit in commits.items() if commit["type"] == type)


def _note_again(p: Planted, type: str) -> None:
    commits = dump.read(p.folder).docs("orders", "streams")
    version = max(commit["version"] for commit in commits.values() if commit["stream"] == p.cancelled) + 1
    p.copy("orders.streams", _last(p, type), f"{p.cancelled}:{version:06d}", version=version)


def _swap(p: Planted) -> None:
    """The two public events of the confirmed order change their numbers on the log."""
    for old, new in (("1", "9"), ("2", "1"), ("9", "2")):
        was, now = (f'"ce_sequence":"{number}"' for number in (old, new))
        change = "UPDATE records SET headers = replace(headers, ?, ?) WHERE key = ? AND headers LIKE '%order.%'"
        p.log(change, was, now, p.confirmed)


def _renumber(p: Planted) -> None:
    was, now = '"ce_sequence":"2"', '"ce_sequence":"3"'
    p.log("UPDATE records SET headers = replace(headers, ?, ?) WHERE key = ?", was, now, p.confirmed)


def _publish_again(p: Planted, value: bytes) -> None:
    p.log(
        """INSERT INTO records SELECT partition, offset + 1000, time, key, ?, headers FROM records
           WHERE key = ? AND headers LIKE '%order.placed%'""",
        value,
        p.confirmed,
    )


def _make_unreadable(p: Planted) -> None:
    p.log("UPDATE records SET headers = '{}' WHERE key = ? AND headers LIKE '%order.placed%'", p.confirmed)


def _park(p: Planted) -> None:
    with p._rows("notifications.dead_letters") as (db, table):
        letter = {"_id": "orders.events:o1:1", "reason": "ValueError", "pending": 0}
        db.execute(f'INSERT INTO "{table}" VALUES (?, ?)', (letter["_id"], orjson.dumps(letter).decode()))
