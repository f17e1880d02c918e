"""The store in MongoDB, or in a server with its protocol. Each operation is one command; each write leaves its id.

    {_id, ..., _w: ObjectId}    the id of the last write; readers do not see it

If the response to a write is lost, the store looks for its id. It finds the id if the write happened; otherwise the
write may still happen, and the store raises StoreUnavailable.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

import pymongo
from bson import ObjectId
from bson.errors import InvalidDocument
from pymongo import ReturnDocument
from pymongo.collection import Collection as MongoCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from chassis import clock, deadline
from chassis.store import Collection, Cursor, Doc, Duplicate, Filter, StoreUnavailable, Update, UpdateOne
from chassis.store.documents import MISSING, apply_update, matches, value_at
from chassis.store.mongodb import query
from chassis.store.mongodb.client import SILENT_TIMEOUT_S, WRITE_SHARE, MongodbClient, OperationNotSent
from chassis.store.operators import WRITE_ID

T = TypeVar("T")

_MAX_TRIES = 20
_INDEX_BUILD_TIMEOUT_S = 3600.0
_PROJECTION = {WRITE_ID: False}
_DOES_NOT_FIT = frozenset({2, 14, 28})  # BadValue, TypeMismatch, PathNotViable: an operator meets another type
_TOO_LARGE = frozenset({10334, 17419, 17420, 285999133})  # the last one by DocumentDB
_REJECTED = _DOES_NOT_FIT | _TOO_LARGE | {11000}
_INDEX_NOT_FOUND = 27


class MongodbStore:
    """Implements `chassis.store.Store` for up to `threads` threads."""

    def __init__(self, uri: str, database: str, threads: int = 100) -> None:
        self._client = MongodbClient(uri, database, threads)
        self._ensured: dict[str, MongoCollection[Doc]] = {}
        self._ensuring = threading.Lock()
        self.location = f"the MongoDB database {database}"
        self.remedy = "set MONGODB_URI to an empty deployment, or dump the old database and drop it"

    def has_documents(self, besides: str) -> bool:
        database = self._client.database()
        names = self._client.read(database.list_collection_names, self._client.timeout_s())
        own = [name for name in names if name != besides and not name.startswith("system.")]
        return any(self._has_document(database[name]) for name in own)

    def ensure_indexes(self, collection: Collection) -> None:
        if not self._ensuring.acquire(timeout=self._client.timeout_s()):
            raise StoreUnavailable(f"another thread is building the indexes of {collection.name}")
        try:
            self._build_indexes(collection)
        finally:
            self._ensuring.release()

    def insert(self, collection: Collection, doc: Doc) -> None:
        docs, write_id = self._docs(collection), query.new_write_id()

        def work() -> None:
            docs.insert_one({**doc, WRITE_ID: write_id})

        for _ in range(_MAX_TRIES):
            try:
                self._write(docs, doc["_id"], write_id, work)
                return
            except DuplicateKeyError:
                if self.get(collection, doc["_id"]) is not None:
                    raise Duplicate("_id") from None
                if field := self._duplicate_field(collection, doc):
                    raise Duplicate(field) from None
            except (InvalidDocument, OperationFailure) as error:
                raise _translated(error) from None
        raise StoreUnavailable(f"write to {collection.name} kept conflicting with concurrent inserts; gave up")

    def get(self, collection: Collection, id: str) -> Doc | None:
        docs = self._docs(collection)
        return self._client.read(lambda: docs.find_one({"_id": id}, _PROJECTION), self._client.timeout_s())

    def find(self, collection: Collection, where: Filter, sort: str, limit: int, after: Cursor | None) -> list[Doc]:
        docs, keys = self._docs(collection), query.sort_keys(sort)
        match = query.search(where, sort, after, collection.versions.indexed)

        def work() -> list[Doc]:
            return docs.find(match, _PROJECTION, sort=keys, limit=limit, batch_size=limit).to_list()

        return self._client.read(work, self._client.timeout_s())

    def count(self, collection: Collection, where: Filter, sum_field: str, up_to: int = 0) -> int:
        docs, stages = self._docs(collection), query.count_stages(where, sum_field, collection.versions.indexed, up_to)
        found = self._client.read(lambda: docs.aggregate(stages).to_list(), self._client.timeout_s())
        return int(found[0]["count"]) if found else 0

    def count_by(self, collection: Collection, where: Filter, field: str) -> dict[str, int]:
        docs, stages = self._docs(collection), query.count_by_stages(where, field, collection.versions.indexed)
        found = self._client.read(lambda: docs.aggregate(stages).to_list(), self._client.timeout_s())
        return {row["_id"]: row["count"] for row in found if isinstance(row["_id"], str)}

    def update(self, collection: Collection, id: str, update: Update, when: Filter) -> Doc | None:
        docs, write_id = self._docs(collection), query.new_write_id()
        preconditions = query.preconditions(update)
        where, with_id = query.guarded(id, when, *preconditions), query.with_write_id(update, write_id)

        def work() -> Doc | None:
            return docs.find_one_and_update(where, with_id, _PROJECTION, return_document=ReturnDocument.AFTER)

        for _ in range(_MAX_TRIES):
            try:
                new = self._write(docs, id, write_id, work)
                break
            except DuplicateKeyError:
                current = self.get(collection, id)
                if current is None or not matches(current, when):
                    continue
                if field := self._duplicate_field(collection, apply_update(current, update)):
                    raise Duplicate(field) from None
            except (InvalidDocument, OperationFailure) as error:
                raise _translated(error) from None
        else:
            raise StoreUnavailable(f"write to {collection.name} kept conflicting with concurrent inserts; gave up")
        if new is None and preconditions:
            current = self.get(collection, id)
            if current is not None and matches(current, when):
                apply_update(current, update)  # raises ValueError, unless the document came to match just now
        return new

    def bulk_update(self, collection: Collection, updates: Sequence[UpdateOne]) -> None:
        docs = self._docs(collection)
        requests = [
            pymongo.UpdateOne(
                query.guarded(each.id, each.when, *query.preconditions(each.update)),
                query.with_write_id(each.update, query.new_write_id()),
            )
            for each in sorted(updates, key=attrgetter("id"))  # so that two of these never wait for each other
        ]
        with self._client.time_limit(self._client.timeout_s()):
            try:
                docs.bulk_write(requests, ordered=False)
            except BulkWriteError as error:
                codes = {each["code"] for each in error.details["writeErrors"]}
                if error.details["writeConcernErrors"] or codes - _REJECTED:
                    raise

    def delete(self, collection: Collection, id: str, when: Filter) -> bool:
        docs = self._docs(collection)
        for _ in range(_MAX_TRIES):
            with self._client.time_limit(self._client.timeout_s()):
                if docs.delete_one(query.guarded(id, when)).deleted_count:
                    return True
            # Not every server repeats a delete that lost a race against an update.
            current = self.get(collection, id)
            if current is None or not matches(current, when):
                return False
        raise StoreUnavailable(f"delete in {collection.name} kept conflicting with concurrent updates; gave up")

    def rewrite(self, collection: Collection, ids: Sequence[str], changes: Callable[[Doc], Doc]) -> int:
        docs, rewritten = self._docs(collection), 0
        for _ in range(_MAX_TRIES):
            requests = []
            for doc in self._find_with_write_ids(docs, ids):
                write_id = doc.pop(WRITE_ID, None)
                if fields := changes(doc):
                    seen = {"_id": doc["_id"], WRITE_ID: write_id}  # a document that another write changed is left
                    requests.append(
                        pymongo.UpdateOne(seen, query.with_write_id({"$set": fields}, query.new_write_id()))
                    )
            if not requests:
                return rewritten
            with self._client.time_limit(self._client.timeout_s()):
                try:
                    count = docs.bulk_write(requests, ordered=False).modified_count
                except BulkWriteError as error:
                    if {each["code"] for each in error.details["writeErrors"]} & _TOO_LARGE:
                        raise ValueError("a document has at most 16 MiB") from None
                    raise
            rewritten += count
            if count == len(requests):
                return rewritten
        raise StoreUnavailable(f"rewrite of {collection.name} kept conflicting with concurrent updates; gave up")

    def purge_deleted(self) -> None:
        """The server purges its own files."""

    def ping(self) -> None:
        with deadline.within(SILENT_TIMEOUT_S):
            self._client.read(lambda: self._client.database().command("ping"), self._client.timeout_s())

    def close(self) -> None:
        self._ensured.clear()
        self._client.close()

    def _docs(self, collection: Collection) -> MongoCollection[Doc]:
        docs = self._ensured.get(collection.name)
        if docs is None:
            self.ensure_indexes(collection)
            docs = self._ensured[collection.name]
        return docs

    def _has_document(self, docs: MongoCollection[Doc]) -> bool:
        return self._client.read(lambda: docs.find_one({}, {"_id": True}), self._client.timeout_s()) is not None

    def _find_with_write_ids(self, docs: MongoCollection[Doc], ids: Sequence[str]) -> list[Doc]:
        where = {"_id": {"$in": list(ids)}}
        return self._client.read(lambda: docs.find(where, batch_size=len(ids)).to_list(), self._client.timeout_s())

    def _write(self, docs: MongoCollection[Doc], id: str, write_id: ObjectId, work: Callable[[], T]) -> T | Doc:
        """Return what `work` returns; if its response is lost, the document that it left."""
        timeout_s = self._client.timeout_s()
        until = clock.monotonic() + timeout_s
        try:
            with self._client.time_limit(timeout_s * WRITE_SHARE):
                return work()
        except OperationNotSent:
            raise
        except StoreUnavailable as lost:
            left_s = max(until - clock.monotonic(), 0)
            found = self._client.read(lambda: docs.find_one({"_id": id, WRITE_ID: write_id}, _PROJECTION), left_s)
            if found is None:
                raise lost
            return found

    def _duplicate_field(self, collection: Collection, doc: Mapping[str, object]) -> str:
        """Return which unique field of the document another one has, "" if none any more: servers may not say it."""
        for index in collection.indexes:
            if index.unique and matches(doc, index.partial or {}):
                values = {path: value_at(doc, path) for path in index.fields}
                where = {**(index.partial or {}), **values, "_id": {"$ne": doc["_id"]}}
                if MISSING not in values.values() and self.find(collection, where, "_id", 1, None):
                    return index.fields[0]
        return ""

    def _build_indexes(self, collection: Collection) -> None:
        wanted = {index.name: query.definition(index) for index in collection.indexes}
        docs = self._client.database()[collection.name]
        listed = self._client.read(lambda: docs.list_indexes().to_list(), self._client.timeout_s())
        existing = {each["name"]: query.existing_definition(each) for each in listed if each["name"] != "_id_"}
        stale = [name for name, each in existing.items() if wanted.get(name) != each]
        missing = {name: each for name, each in wanted.items() if existing.get(name) != each}
        if stale or missing:
            with self._client.time_limit(self._client.timeout_s() if deadline.is_set() else _INDEX_BUILD_TIMEOUT_S):
                for name in stale:
                    _drop_index(docs, name)
                if missing:
                    docs.create_indexes(list(query.models(missing)))
        self._ensured[collection.name] = docs


def _drop_index(docs: MongoCollection[Doc], name: str) -> None:
    try:
        docs.drop_index(name)
    except OperationFailure as error:
        if error.code != _INDEX_NOT_FOUND:  # another process may have been faster
            raise


def _translated(error: Exception) -> Exception:
    """Return ValueError if the document or the update is to blame; else the error itself."""
    code = error.code if isinstance(error, OperationFailure) else None
    if code in _TOO_LARGE or isinstance(error, InvalidDocument):
        return ValueError("a document has at most 16 MiB")
    return ValueError(f"the update does not fit the document (code {code})") if code in _DOES_NOT_FIT else error
