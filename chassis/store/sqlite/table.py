"""The table of one collection: its SQL, its indexes, and the documents in it."""

# ruff: noqa: S608  `sql.quoted` checks names; values are always bound

import re
import sqlite3
from collections.abc import Iterable
from typing import Any

import orjson

from chassis.store import Collection, Cursor, Doc, Filter, Index, Update
from chassis.store.documents import MISSING, apply_update, matches, value_at
from chassis.store.sqlite import sql

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""As in MongoDB."""
SCHEMA = "SELECT type, name, sql FROM sqlite_master"


class Table:
    """The SQL of one collection, composed once."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection.name
        self.name = name = sql.quoted(collection.name)
        self.select = f"SELECT doc FROM {name} WHERE id = ?"
        self.insert = f"INSERT INTO {name} (id, doc) VALUES (?, ?)"
        self.update = f"UPDATE {name} SET doc = ? WHERE id = ?"
        self.delete = f"DELETE FROM {name} WHERE id = ?"
        self._fields = sql.Fields(collection.indexes, collection.versions.indexed)
        self._indexes = {f"{collection.name}:{index.name}": index for index in collection.indexes}
        self._multikeys = {index.fields[0]: sql.quoted(key) for key, index in self._indexes.items() if index.multikey}
        self.schema = {collection.name: f"CREATE TABLE {name} (id TEXT NOT NULL PRIMARY KEY, doc TEXT NOT NULL)"}
        self.schema |= {key: self._create_index(key, index) for key, index in self._indexes.items()}

    def existing(self, schema: Iterable[tuple[str, str, str]]) -> dict[str, tuple[str, str]]:
        """Return what the file has of this collection: name -> (table or index, its SQL)."""
        prefix = f"{self.collection}:"
        return {name: (kind, text) for kind, name, text in schema if name == self.collection or name.startswith(prefix)}

    def migrate(self, db: sqlite3.Connection) -> None:
        """Create what is missing, and drop the indexes that are not declared like this any more."""
        existing = self.existing(db.execute(SCHEMA))
        for key, (kind, text) in existing.items():
            if self.schema.get(key) != text and key != self.collection:
                db.execute(f"DROP {kind} {sql.quoted(key)}")
        for key, text in self.schema.items():
            if existing.get(key, ("", ""))[1] == text:
                continue
            db.execute(text)
            index = self._indexes.get(key)
            if index and index.multikey:
                for (doc,) in db.execute(f"SELECT doc FROM {self.name}").fetchall():
                    self.update_multikeys(db, {}, orjson.loads(doc), index.fields[0])

    def read(self, db: sqlite3.Connection, id: str, when: Filter) -> tuple[str, Doc] | None:
        """Return a document as JSON and as a dict, if it exists and `when` holds."""
        row = db.execute(self.select, (id,)).fetchone()
        if row is None:
            return None
        doc: Doc = orjson.loads(row[0])
        return (row[0], doc) if matches(doc, when) else None

    def apply(self, db: sqlite3.Connection, id: str, update: Update, when: Filter) -> str | None:
        """Update a document if it exists and `when` holds. Return its new JSON."""
        found = self.read(db, id, when)
        if found is None:
            return None
        text, old = found
        new = apply_update(old, update)
        new_text = to_json(new)
        if new_text != text:
            db.execute(self.update, (new_text, id))
            self.update_multikeys(db, old, new)
        return new_text

    def update_multikeys(self, db: sqlite3.Connection, old: Doc, new: Doc, only: str = "") -> None:
        """Bring the tables of multikey indexes in line with the document; with `only`, the one of this field."""
        for path, table in self._multikeys.items():
            if path.startswith(only):
                before, after = _texts(old, path), _texts(new, path)
                id = new.get("_id") or old.get("_id")
                db.executemany(
                    f"DELETE FROM {table} WHERE value = ? AND id = ?",
                    [(value, id) for value in before - after],
                )
                db.executemany(
                    f"INSERT INTO {table} (value, id) VALUES (?, ?)",
                    [(value, id) for value in after - before],
                )

    def find(self, where: Filter, sort: str, limit: int, after: Cursor | None) -> tuple[str, list[Any]]:
        """Return the query and its values."""
        column = self._fields.column(sort.lstrip("-"))
        source, clause = self._by_multikey(where) if column == "id" else (self.name, self._clause(where))
        direction, beyond = ("DESC", "<") if sort.startswith("-") else ("ASC", ">")
        # SQLite would rather scan the whole table by `id` than sort what an index finds: `+` prevents that.
        id = "+id" if where and "_id" not in where and source == self.name else "id"
        keys = [id] if column == "id" else [column, "id"]
        if column != "id":
            clause.add(self._fields.sortable(sort.lstrip("-"), after and after[0]))
        if after and column == "id":
            clause.add(f"{id} {beyond} ?", after[1])
        elif after:
            clause.add(f"{column} {beyond}= ?", after[0])  # bounds the index scan; a comparison of pairs does not
            clause.add(f"({column}, id) {beyond} (?, ?)", *after)
        order = ", ".join(f"{key} {direction}" for key in keys)
        query = f"SELECT doc FROM {source} WHERE {clause} ORDER BY {order} LIMIT ?"
        return query, [*clause.values, limit]

    def rarity(self, path: str) -> str:
        """Return the query for the number of documents that have a value in a list, up to a bound."""
        return f"SELECT count(*) FROM (SELECT 1 FROM {self._multikeys[path]} WHERE value = ? LIMIT ?)"

    def count(self, where: Filter, sum_field: str, up_to: int = 0) -> tuple[str, list[Any]]:
        """Return the query and its values."""
        if up_to:
            source, clause = self._by_multikey(where)
            return f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {clause} LIMIT ?)", [*clause.values, up_to]
        clause, result = self._clause(where), "count(*)"
        if sum_field:
            clause.add(self._fields.is_int(sum_field))
            result = f"coalesce(sum({self._fields.column(sum_field)}), 0)"
        return f"SELECT {result} FROM {self.name} WHERE {clause}", clause.values

    def count_by(self, where: Filter, field: str) -> tuple[str, list[Any]]:
        """Return the query and its values; its rows are (text, count)."""
        clause, column = self._clause(where), self._fields.column(field)
        clause.add(self._fields.is_text(field))
        return f"SELECT {column}, count(*) FROM {self.name} WHERE {clause} GROUP BY {column}", clause.values

    def duplicate_field(self, error: sqlite3.IntegrityError) -> str:
        """Return which field was a duplicate: SQLite names the index."""
        named = re.search(r"index '(.+)'", str(error))
        return self._indexes[named[1]].fields[0] if named else "_id"

    def _by_multikey(self, where: Filter) -> tuple[str, sql.Clause]:
        """Return what to read from, and the conditions: with an `$all`, in the order of `id` without sorting.

        The scan follows the first value, and looks up the others document by document.
        """
        pairs = [(path, value) for path, values in sql.all_conditions(where) for value in values]
        if not pairs or {"$all": []} in where.values():
            return self.name, self._clause(where)
        first = pairs[0]
        clause = sql.Clause(["value = ?"], [first[1]])
        for path, value in pairs[1:]:
            if (path, value) != first:
                table = self._multikeys[path]
                clause.add(f"EXISTS (SELECT 1 FROM {table} t WHERE t.value = ? AND t.id = {self.name}.id)", value)
        others = self._fields.where_clause(where)
        clause.terms += others.terms
        clause.values += others.values
        return f"{self._multikeys[first[0]]} CROSS JOIN {self.name} USING (id)", clause

    def _clause(self, where: Filter) -> sql.Clause:
        clause = self._fields.where_clause(where)
        for path, values in sql.all_conditions(where):
            for value in values:
                clause.add(f"id IN (SELECT id FROM {self._multikeys[path]} WHERE value = ?)", value)
            if not values:
                clause.add("FALSE")
        return clause

    def _create_index(self, key: str, index: Index) -> str:
        if index.multikey:
            columns = "value TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (value, id)"
            return f"CREATE TABLE {sql.quoted(key)} ({columns}) WITHOUT ROWID"
        unique = "UNIQUE " if index.unique else ""
        partial = f" WHERE {self._fields.where_clause(index.partial)}" if index.partial else ""
        return f"CREATE {unique}INDEX {sql.quoted(key)} ON {self.name} ({self._fields.index_columns(index)}){partial}"


def to_json(doc: Doc) -> str:
    """Raises ValueError if the document is too large."""
    text = orjson.dumps(doc).decode()
    if len(text) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"a document has at most {MAX_DOCUMENT_BYTES} bytes")
    return text


def _texts(doc: Doc, path: str) -> set[str]:
    value = value_at(doc, path)
    items = value if isinstance(value, list) else [value] if value is not MISSING else []
    return {item for item in items if isinstance(item, str)}
