"""Damage to the store of a service, planted past its code."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing

from tests.system.platform import Shop

Damage = tuple[str, Callable[[sqlite3.Connection], int]]
"""(service, change of its store); the latter returns the number of documents that it changed."""


def change(service: str, collection: str, id: str, **fields: object) -> Damage:
    """Set fields of a document, as none of our code does."""

    def do(db: sqlite3.Connection) -> int:
        ((text,),) = db.execute(f"SELECT doc FROM {collection} WHERE id = ?", (id,))
        return db.execute(
            f"UPDATE {collection} SET doc = ? WHERE id = ?", (json.dumps(json.loads(text) | fields), id)
        ).rowcount

    return service, do


def change_in(service: str, collection: str, id: str, path: str, value: str) -> Damage:
    """Set a field inside of a document, at a path such as `data.totalAmount`."""
    statement = f"UPDATE {collection} SET doc = json_set(doc, ?, ?) WHERE id = ?"
    return service, lambda db: db.execute(statement, (f"$.{path}", value, id)).rowcount


def remove_field(service: str, collection: str, id: str, name: str) -> Damage:
    statement = f"UPDATE {collection} SET doc = json_remove(doc, ?) WHERE id = ?"
    return service, lambda db: db.execute(statement, (f"$.{name}", id)).rowcount


def remove(service: str, collection: str, id: str) -> Damage:
    return service, lambda db: db.execute(f"DELETE FROM {collection} WHERE id = ?", (id,)).rowcount


def copy(service: str, collection: str, id: str, new: str) -> Damage:
    def do(db: sqlite3.Connection) -> int:
        statement = f"INSERT INTO {collection} SELECT ?, json_set(doc, '$._id', ?) FROM {collection} WHERE id = ?"
        return db.execute(statement, (new, new, id)).rowcount

    return service, do


def plant(shop: Shop, damage: Damage) -> None:
    service, do = damage
    with closing(sqlite3.connect(shop.data / "store" / f"{service}.db", timeout=10)) as db, db:
        assert do(db) == 1
