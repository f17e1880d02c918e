"""The store in MongoDB, or a server that speaks its protocol: each operation one command, each write with its mark.

    {_id, ..., _w: ObjectId}    the mark of the write that made the document what it is; no reader sees it

A write whose answer is lost is looked for by its mark: found, it was done; else it may still be, and raises StoreUnavailable.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

import pymongo
from bson import ObjectId
from bson.errors import InvalidDocument
from pymongo import ReturnDocument
from pymongo.collection import Collection as Documents
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from chassis import clock, deadline
from chassis.store import Collection, Cursor, Doc, Duplicate, Filter, StoreUnavailable, Update, UpdateOne
from chassis.store.documents import MISSING, changed, matches, value_at
from chassis.store.mongodb import query
from chassis.store.mongodb.client import UNHEARD, WRITING, MongodbClient, Unsent
from chassis.store.operators import WRITE_ID

T = TypeVar("T")

_TRIES = 20
_BUILDING = 3600.0  # seconds that indexes of a collection may take to be made
_SHOWN = {WRITE_ID: False}
_UNFIT = frozenset({2, 14, 28})  # BadValue, TypeMismatch, PathNotViable: what a change meets does not suit its words
_TOO_LARGE = frozenset({10334, 17419, 17420})
_REFUSED = _UNFIT | _TOO_LARGE | {11000}
_INDEX_NOT_FOUND = 27


class MongodbStore:
    """Implements `chassis.store.Store`. `threads` use it at once."""

    def __init__(self, uri: str, database: str, threads: int = 100) -> None:
        self._client = MongodbClient(uri, database, threads)
        self._ensured: dict[str, Documents[Doc]] = {}
        self._ensuring = threading.Lock()
        self.location = f"the MongoDB database {database}"
        self.remedy = "set MONGODB_URI to an empty deployment, or dump the old database and drop it"

    def has_documents(self, besides: str) -> bool:
        database = self._client.database()
        names = self._client.read(database.list_collection_names, self._client.patience())
        return any(self._has_document(database[name]) for name in names if name != besides)

    def _has_document(self, docs: Documents[Doc]) -> bool:
        return self._client.read(lambda: docs.find_one({}, {"_id": True}), self._client.patience()) is not None

    def ensure_indexes(self, collection: Collection) -> None:
        if not self._ensuring.acquire(timeout=self._client.patience()):
            raise StoreUnavailable(f"the indexes of {collection.name} are being made")
        try:
            self._make_indexes(collection)
        finally:
            self._ensuring.release()

    def insert(self, collection: Collection, doc: Doc) -> None:
        docs, mark = self._documents(collection), query.new_write_id()

        def work() -> None:
            docs.insert_one({**doc, WRITE_ID: mark})

        for _ in range(_TRIES):
            try:
                self._write(docs, doc["_id"], mark, work)
                return
            except DuplicateKeyError:
                if self.get(collection, doc["_id"]) is not None:
                    raise Duplicate("_id") from None
                if taken := self._taken(collection, doc):
                    raise Duplicate(taken) from None
            except (InvalidDocument, OperationFailure) as error:
                raise _unfit(error) from None
        raise StoreUnavailable(f"documents come and go in the way of one of {collection.name}")

    def get(self, collection: Collection, id: str) -> Doc | None:
        docs = self._documents(collection)
        return self._client.read(lambda: docs.find_one({"_id": id}, _SHOWN), self._client.patience())

    def find(self, collection: Collection, where: Filter, sort: str, limit: int, after: Cursor | None) -> list[Doc]:
        docs, match, order = self._documents(collection), query.search(where, sort, after), query.sort_keys(sort)

        def work() -> list[Doc]:
            return docs.find(match, _SHOWN, sort=order, limit=limit, batch_size=limit).to_list()

        return self._client.read(work, self._client.patience())

    def count(self, collection: Collection, where: Filter, of: str) -> int:
        docs, stages = self._documents(collection), query.count_stages(where, of)
        found = self._client.read(lambda: docs.aggregate(stages).to_list(), self._client.patience())
        return int(found[0]["count"]) if found else 0

    def update(self, collection: Collection, id: str, change: Update, when: Filter) -> Doc | None:
        docs, mark, fits = self._documents(collection), query.new_write_id(), query.preconditions(change)
        where, stamped = query.guarded(id, when, *fits), query.with_write_id(change, mark)

        def work() -> Doc | None:
            return docs.find_one_and_update(where, stamped, _SHOWN, return_document=ReturnDocument.AFTER)

        for _ in range(_TRIES):
            try:
                new = self._write(docs, id, mark, work)
                break
            except DuplicateKeyError:
                there = self.get(collection, id)
                found = there is not None and matches(there, when)
                if there is not None and found and (taken := self._taken(collection, changed(there, change))):
                    raise Duplicate(taken) from None
            except (InvalidDocument, OperationFailure) as error:
                raise _unfit(error) from None
        else:
            raise StoreUnavailable(f"documents come and go in the way of one of {collection.name}")
        if new is None and fits:
            there = self.get(collection, id)
            if there is not None and matches(there, when):
                changed(there, change)  # raises ValueError, unless it came to match just now
        return new

    def bulk_update(self, collection: Collection, updates: Sequence[UpdateOne]) -> None:
        docs = self._documents(collection)
        requests = [
            pymongo.UpdateOne(
                query.guarded(each.id, each.when, *query.preconditions(each.change)),
                query.with_write_id(each.change, query.new_write_id()),
            )
            for each in sorted(updates, key=attrgetter("id"))  # so that two of these never wait for each other
        ]
        with self._client.answering(self._client.patience()):
            try:
                docs.bulk_write(requests, ordered=False)
            except BulkWriteError as error:
                codes = {each["code"] for each in error.details["writeErrors"]}
                if error.details["writeConcernErrors"] or codes - _REFUSED:
                    raise

    def delete(self, collection: Collection, id: str, when: Filter) -> bool:
        docs = self._documents(collection)
        for _ in range(_TRIES):
            with self._client.answering(self._client.patience()):
                if docs.delete_one(query.guarded(id, when)).deleted_count:
                    return True
            # Not every server repeats a delete that lost a race against an update.
            there = self.get(collection, id)
            if there is None or not matches(there, when):
                return False
        raise StoreUnavailable(f"a document of {collection.name} changes too often to be deleted")

    def ping(self) -> None:
        with deadline.within(UNHEARD):
            self._client.read(lambda: self._client.database().command("ping"), self._client.patience())

    def close(self) -> None:
        self._ensured.clear()
        self._client.close()

    def _documents(self, collection: Collection) -> Documents[Doc]:
        docs = self._ensured.get(collection.name)
        if docs is None:
            self.ensure_indexes(collection)
            docs = self._ensured[collection.name]
        return docs

    def _write(self, docs: Documents[Doc], id: str, mark: ObjectId, work: Callable[[], T]) -> T | Doc:
        """What `work` returns; where its answer was lost, the document that it left."""
        seconds = self._client.patience()
        ends = clock.monotonic() + seconds
        try:
            with self._client.answering(seconds * WRITING):
                return work()
        except Unsent:
            raise
        except StoreUnavailable as lost:
            left = max(ends - clock.monotonic(), 0)
            found = self._client.read(lambda: docs.find_one({"_id": id, WRITE_ID: mark}, _SHOWN), left)
            if found is None:
                raise lost
            return found

    def _taken(self, collection: Collection, doc: Mapping[str, object]) -> str:
        """Which unique field of this document another has, "" if none any more: not every server says it."""
        for index in collection.indexes:
            if index.unique and matches(doc, index.partial or {}):
                values = {path: value_at(doc, path) for path in index.fields}
                where = {**(index.partial or {}), **values, "_id": {"$ne": doc["_id"]}}
                if MISSING not in values.values() and self.find(collection, where, "_id", 1, None):
                    return index.fields[0]
        return ""

    def _make_indexes(self, collection: Collection) -> None:
        wanted = {index.name: query.definition(index) for index in collection.indexes}
        docs = self._client.database()[collection.name]
        made = self._client.read(lambda: docs.list_indexes().to_list(), self._client.patience())
        there = {each["name"]: query.existing_definition(each) for each in made if each["name"] != "_id_"}
        stale = [name for name, each in there.items() if wanted.get(name) != each]
        missing = {name: each for name, each in wanted.items() if there.get(name) != each}
        if stale or missing:
            with self._client.answering(self._client.patience() if deadline.is_set() else _BUILDING):
                for name in stale:
                    _drop(docs, name)
                if missing:
                    docs.create_indexes(list(query.models(missing)))
        self._ensured[collection.name] = docs


def _drop(docs: Documents[Doc], name: str) -> None:
    try:
        docs.drop_index(name)
    except OperationFailure as error:
        if error.code != _INDEX_NOT_FOUND:  # else another process was first
            raise


def _unfit(error: Exception) -> Exception:
    """ValueError for what the document or the change is to blame for."""
    code = error.code if isinstance(error, OperationFailure) else None
    if code in _TOO_LARGE or isinstance(error, InvalidDocument):
        return ValueError("a document has at most 16 MiB")
    return ValueError(f"the change does not suit the document (code {code})") if code in _UNFIT else error
