"""The store in one SQLite file: a table for each collection, indexes over the documents' JSON, every write synced.

table "products"        id, doc      a document, as JSON
index "products:name"                over json_extract(doc, '$."name"'), id
table "products:words"  value, id    stands for an index over the list `words`
"""

# ruff: noqa: S608  names are checked by sql.quoted, values are always bound

import re
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from chassis.store import Collection, Cursor, Doc, Duplicate, Filter, Index, StoreUnavailable, Update, UpdateOne
from chassis.store.documents import MISSING, changed, matches, value_at
from chassis.store.sqlite import sql
from chassis.store.sqlite.file import SqliteFile

LARGEST = 16 * 1024 * 1024
"""Bytes of a document, as in MongoDB."""
_SCHEMA = "SELECT type, name, sql FROM sqlite_master"


class SqliteStore:
    """Implements `chassis.store.Store` for the processes of one machine that share a file."""

    def __init__(self, file: Path | SqliteFile) -> None:
        self._file = file if isinstance(file, SqliteFile) else SqliteFile(file, StoreUnavailable)
        self._tables: dict[str, _Table] = {}
        self.location = f"the store {self._file.path}"
        self.remedy = "set DATA_DIR to a new folder, or move the old one away"

    def has_documents(self, besides: str) -> bool:
        names = [name for kind, name, _ in self._file.read(_SCHEMA) if kind == "table" and ":" not in name]
        return any(self._file.read(f"SELECT 1 FROM {sql.quoted(name)} LIMIT 1") for name in names if name != besides)

    def ensure_indexes(self, collection: Collection) -> None:
        table = _Table(collection)
        there = table.there(self._file.read(_SCHEMA))
        if {key: text for key, (_, text) in there.items()} != table.schema:
            self._file.write(table.make)
        self._tables[collection.name] = table

    def insert(self, collection: Collection, doc: Doc) -> None:
        table = self._table(collection)
        row = doc["_id"], _text(doc)

        def work(db: sqlite3.Connection) -> None:
            try:
                db.execute(table.insert, row)
            except sqlite3.IntegrityError as error:
                # SQLite checks its constraints in an order of its own; `_id` comes first, as in MongoDB.
                there = db.execute(table.select, (doc["_id"],)).fetchone()
                raise Duplicate("_id" if there else table.field(error)) from None
            table.note_words(db, {}, doc)

        self._file.write(work)

    def get(self, collection: Collection, id: str) -> Doc | None:
        rows = self._file.read(self._table(collection).select, (id,))
        return orjson.loads(rows[0][0]) if rows else None

    def find(self, collection: Collection, where: Filter, sort: str, limit: int, after: Cursor | None) -> list[Doc]:
        query, values = self._table(collection).find(where, sort, limit, after)
        return [orjson.loads(text) for (text,) in self._file.read(query, values)]

    def count(self, collection: Collection, where: Filter, of: str) -> int:
        query, values = self._table(collection).count(where, of)
        return int(self._file.read(query, values)[0][0])

    def update(self, collection: Collection, id: str, change: Update, when: Filter) -> Doc | None:
        table = self._table(collection)
        try:
            text = self._file.write(lambda db: table.change(db, id, change, when))
        except sqlite3.IntegrityError as error:
            raise Duplicate(table.field(error)) from None
        return None if text is None else orjson.loads(text)

    def bulk_update(self, collection: Collection, updates: Sequence[UpdateOne]) -> None:
        table = self._table(collection)

        def work(db: sqlite3.Connection) -> None:
            for each in updates:
                db.execute("SAVEPOINT one")
                try:
                    table.change(db, each.id, each.change, each.when)
                except (ValueError, sqlite3.IntegrityError):
                    db.execute("ROLLBACK TO one")
                db.execute("RELEASE one")

        self._file.write(work)

    def delete(self, collection: Collection, id: str, when: Filter) -> bool:
        table = self._table(collection)

        def work(db: sqlite3.Connection) -> bool:
            found = table.read(db, id, when)
            if found is None:
                return False
            db.execute(table.delete, (id,))
            table.note_words(db, found[1], {})
            return True

        return self._file.write(work)

    def ping(self) -> None:
        self._file.read("SELECT count(*) FROM sqlite_master")

    def close(self) -> None:
        self._file.close()

    def _table(self, collection: Collection) -> "_Table":
        table = self._tables.get(collection.name)
        if table is None:
            self.ensure_indexes(collection)
            table = self._tables[collection.name]
        return table


class _Table:
    """The SQL of one collection, written once."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection.name
        self.name = name = sql.quoted(collection.name)
        self.select = f"SELECT doc FROM {name} WHERE id = ?"
        self.insert = f"INSERT INTO {name} (id, doc) VALUES (?, ?)"
        self.update = f"UPDATE {name} SET doc = ? WHERE id = ?"
        self.delete = f"DELETE FROM {name} WHERE id = ?"
        self._literals = sql.literals(collection.indexes)
        self._indexes = {f"{collection.name}:{index.name}": index for index in collection.indexes}
        self._lists = {index.fields[0]: sql.quoted(key) for key, index in self._indexes.items() if index.multikey}
        self.schema = {collection.name: f"CREATE TABLE {name} (id TEXT NOT NULL PRIMARY KEY, doc TEXT NOT NULL)"}
        self.schema |= {key: self._index(key, index) for key, index in self._indexes.items()}

    def there(self, rows: Iterable[tuple[str, str, str]]) -> dict[str, tuple[str, str]]:
        """What is there of the schema, by name: (table or index, its SQL)."""
        own = self.collection, f"{self.collection}:"
        return {name: (kind, text) for kind, name, text in rows if name == own[0] or name.startswith(own[1])}

    def make(self, db: sqlite3.Connection) -> None:
        """Make what is missing, and drop the indexes that are not declared like this any more."""
        there = self.there(db.execute(_SCHEMA))
        for key, (kind, text) in there.items():
            if self.schema.get(key) != text and key != self.collection:
                db.execute(f"DROP {kind} {sql.quoted(key)}")
        for key, text in self.schema.items():
            if there.get(key, ("", ""))[1] == text:
                continue
            db.execute(text)
            index = self._indexes.get(key)
            if index and index.multikey:
                for (doc,) in db.execute(f"SELECT doc FROM {self.name}").fetchall():
                    self.note_words(db, {}, orjson.loads(doc), index.fields[0])

    def read(self, db: sqlite3.Connection, id: str, when: Filter) -> tuple[str, Doc] | None:
        """A document as its text and as it is, if it is there and `when` holds."""
        row = db.execute(self.select, (id,)).fetchone()
        if row is None:
            return None
        doc: Doc = orjson.loads(row[0])
        return (row[0], doc) if matches(doc, when) else None

    def change(self, db: sqlite3.Connection, id: str, change: Update, when: Filter) -> str | None:
        """Change a document if it is there and `when` holds; its new text."""
        found = self.read(db, id, when)
        if found is None:
            return None
        text, old = found
        new = changed(old, change)
        written = _text(new)
        if written != text:
            db.execute(self.update, (written, id))
            self.note_words(db, old, new)
        return written

    def note_words(self, db: sqlite3.Connection, old: Doc, new: Doc, only: str = "") -> None:
        """Keep the tables of list indexes equal to what the document holds."""
        for path, table in self._lists.items():
            if path.startswith(only):
                before, after = _words(old, path), _words(new, path)
                id = new.get("_id") or old.get("_id")
                db.executemany(
                    f"DELETE FROM {table} WHERE value = ? AND id = ?",
                    [(word, id) for word in before - after],
                )
                db.executemany(
                    f"INSERT INTO {table} (value, id) VALUES (?, ?)",
                    [(word, id) for word in after - before],
                )

    def find(self, where: Filter, sort: str, limit: int, after: Cursor | None) -> tuple[str, list[Any]]:
        """The query and its values."""
        clause = self._clause(where)
        field = sql.column(sort.lstrip("-"))
        way, beyond = ("DESC", "<") if sort.startswith("-") else ("ASC", ">")
        # SQLite would rather walk the whole table by `id` than sort what an index finds: `+` bars that.
        id = "+id" if where and "_id" not in where else "id"
        keys = [id] if field == "id" else [field, "id"]
        if field != "id":
            clause.add(sql.sortable(sort.lstrip("-"), after and after[0]))
        if after and field == "id":
            clause.add(f"{id} {beyond} ?", after[1])
        elif after:
            clause.add(f"{field} {beyond}= ?", after[0])  # what the index is entered by; pairs are not
            clause.add(f"({field}, id) {beyond} (?, ?)", *after)
        order = ", ".join(f"{key} {way}" for key in keys)
        query = f"SELECT doc FROM {self.name} WHERE {clause} ORDER BY {order} LIMIT ?"
        return query, [*clause.values, limit]

    def count(self, where: Filter, of: str) -> tuple[str, list[Any]]:
        """The query and its values."""
        clause, counted = self._clause(where), "count(*)"
        if of:
            clause.add(sql.is_int(of))
            counted = f"coalesce(sum({sql.column(of)}), 0)"
        return f"SELECT {counted} FROM {self.name} WHERE {clause}", clause.values

    def _clause(self, where: Filter) -> sql.Clause:
        clause = sql.where_clause(where, self._literals)
        for path, words in sql.words_of(where):
            for word in words:
                clause.add(f"id IN (SELECT id FROM {self._lists[path]} WHERE value = ?)", word)
            if not words:
                clause.add("FALSE")
        return clause

    def field(self, error: sqlite3.IntegrityError) -> str:
        """Which field was a duplicate: SQLite names the index."""
        named = re.search(r"index '(.+)'", str(error))
        return self._indexes[named[1]].fields[0] if named else "_id"

    def _index(self, key: str, index: Index) -> str:
        if index.multikey:
            columns = "value TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (value, id)"
            return f"CREATE TABLE {sql.quoted(key)} ({columns}) WITHOUT ROWID"
        unique = "UNIQUE " if index.unique else ""
        partial = f" WHERE {sql.where_clause(index.partial, self._literals)}" if index.partial else ""
        return f"CREATE {unique}INDEX {sql.quoted(key)} ON {self.name} ({sql.index_columns(index)}){partial}"


def _text(doc: Doc) -> str:
    """Raises ValueError where the document is too large."""
    text = orjson.dumps(doc).decode()
    if len(text) > LARGEST:
        raise ValueError(f"a document has at most {LARGEST} bytes")
    return text


def _words(doc: Doc, path: str) -> set[str]:
    value = value_at(doc, path)
    items = value if isinstance(value, list) else [value] if value is not MISSING else []
    return {item for item in items if isinstance(item, str)}
