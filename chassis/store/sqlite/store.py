"""The store in one SQLite file. A table for each collection, indexes over the documents' JSON, every write synced.

table "products"        id, doc      a document, as JSON
index "products:name"                over json_extract(doc, '$."name"'), id
table "products:tags"   value, id    serves as the multikey index over the list `tags`
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from chassis.store import Collection, Cursor, Doc, Duplicate, Filter, StoreUnavailable, Update, UpdateOne
from chassis.store.sqlite import sql
from chassis.store.sqlite.file import Row, SqliteFile, T
from chassis.store.sqlite.table import SCHEMA, Table, to_json

_RARE = 200
"""Documents up to which a value is counted, to know which one is rare."""


class SqliteStore:
    """Implements `chassis.store.Store` for the processes of one machine that share a file."""

    def __init__(self, file: Path | SqliteFile) -> None:
        self._file = file if isinstance(file, SqliteFile) else SqliteFile(file, StoreUnavailable)
        self._tables: dict[str, Table] = {}
        self.location = f"the store {self._file.path}"
        self.remedy = "set DATA_DIR to a new folder, or move the old one away"

    def has_documents(self, besides: str) -> bool:
        names = [name for kind, name, _ in self._file.read(SCHEMA) if kind == "table" and ":" not in name]
        return any(
            self._file.read(f"SELECT 1 FROM {sql.quoted(name)} LIMIT 1")  # noqa: S608  `quoted` checks the name
            for name in names
            if name != besides
        )

    def ensure_indexes(self, collection: Collection) -> None:
        table = Table(collection)
        existing = table.existing(self._file.read(SCHEMA))
        if {name: statement for name, (_, statement) in existing.items()} != table.schema:
            self._file.write(table.migrate)
        self._tables[collection.name] = table

    def insert(self, collection: Collection, doc: Doc) -> None:
        table = self._table(collection)
        row = doc["_id"], to_json(doc)

        def work(db: sqlite3.Connection) -> None:
            try:
                db.execute(table.insert, row)
            except sqlite3.IntegrityError as error:
                # SQLite checks its constraints in an order of its own; `_id` comes first, as in MongoDB.
                has_id = db.execute(table.select, (doc["_id"],)).fetchone()
                raise Duplicate("_id" if has_id else table.duplicate_field(error)) from None
            table.update_multikeys(db, {}, doc)

        self._write(work)

    def get(self, collection: Collection, id: str) -> Doc | None:
        rows = self._read(self._table(collection).select, (id,))
        return orjson.loads(rows[0][0]) if rows else None

    def find(self, collection: Collection, where: Filter, sort: str, limit: int, after: Cursor | None) -> list[Doc]:
        table = self._table(collection)
        query, values = table.find(self._rarest_first(table, where), sort, limit, after)
        return [orjson.loads(text) for (text,) in self._read(query, values)]

    def count(self, collection: Collection, where: Filter, sum_field: str, up_to: int = 0) -> int:
        table = self._table(collection)
        query, values = table.count(self._rarest_first(table, where), sum_field, up_to)
        return int(self._read(query, values)[0][0])

    def count_by(self, collection: Collection, where: Filter, field: str) -> dict[str, int]:
        query, values = self._table(collection).count_by(where, field)
        return dict(self._read(query, values))

    def update(self, collection: Collection, id: str, update: Update, when: Filter) -> Doc | None:
        table = self._table(collection)
        try:
            text = self._write(lambda db: table.apply(db, id, update, when))
        except sqlite3.IntegrityError as error:
            raise Duplicate(table.duplicate_field(error)) from None
        return None if text is None else orjson.loads(text)

    def bulk_update(self, collection: Collection, updates: Sequence[UpdateOne]) -> None:
        table = self._table(collection)

        def work(db: sqlite3.Connection) -> None:
            for each in updates:
                db.execute("SAVEPOINT one")
                try:
                    table.apply(db, each.id, each.update, each.when)
                except (ValueError, sqlite3.IntegrityError):
                    db.execute("ROLLBACK TO one")
                db.execute("RELEASE one")

        self._write(work)

    def delete(self, collection: Collection, id: str, when: Filter) -> bool:
        table = self._table(collection)

        def work(db: sqlite3.Connection) -> bool:
            found = table.read(db, id, when)
            if found is None:
                return False
            db.execute(table.delete, (id,))
            table.update_multikeys(db, found[1], {})
            return True

        return self._write(work)

    def rewrite(self, collection: Collection, ids: Sequence[str], changes: Callable[[Doc], Doc]) -> int:
        table = self._table(collection)

        def work(db: sqlite3.Connection) -> int:
            found = [row for id in ids if (row := table.read(db, id, {}))]
            changed = {doc["_id"]: fields for _, doc in found if (fields := changes(doc))}
            for id, fields in changed.items():
                table.apply(db, id, {"$set": fields}, {})
            return len(changed)

        return self._write(work)

    def purge_deleted(self) -> None:
        self._file.empty_log()

    def ping(self) -> None:
        self._file.read("SELECT count(*) FROM sqlite_master")

    def close(self) -> None:
        self._file.close()

    def _rarest_first(self, table: Table, where: Filter) -> Filter:
        """Return the same filter with the rarest value of its `$all`s as the first one: a scan follows it."""
        pairs = [(path, value) for path, values in sql.all_conditions(where) for value in values]
        if len(pairs) < 2:
            return where
        path, value = min(pairs, key=lambda pair: self._read(table.rarity(pair[0]), (pair[1], _RARE))[0][0])
        others = [each for each in where[path]["$all"] if each != value]
        return {path: {"$all": [value, *others]}} | {name: each for name, each in where.items() if name != path}

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._with_all_tables(lambda: self._file.read(query, values))

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._with_all_tables(lambda: self._file.write(work))

    def _with_all_tables(self, operation: Callable[[], T]) -> T:
        """Return what the operation returns; create the table of a multikey index again if it is gone.

        A process of an earlier release drops the indexes that it does not declare when it starts.
        """
        try:
            return operation()
        except sqlite3.OperationalError as error:
            _, is_missing, name = str(error).partition("no such table: ")
            if not is_missing or ":" not in name:
                raise
        for table in list(self._tables.values()):
            self._file.write(table.migrate)
        return operation()

    def _table(self, collection: Collection) -> Table:
        table = self._tables.get(collection.name)
        if table is None:
            self.ensure_indexes(collection)
            table = self._tables[collection.name]
        return table
