"""Random operations on the store give what a trivial model in memory gives."""

from itertools import count

import model
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.store import Collection, Duplicate, Index

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

ids = st.sampled_from("abcde")
texts = st.sampled_from(["", "a", "B", "é", "\uffff", "\U00010000", "1", "true", "[]"])
ints = st.sampled_from([-(2**63), -1, 0, 1, 2, 2**63 - 1])
scalars = texts | ints | st.booleans()
values = scalars | st.none()
tags = st.lists(texts, max_size=3)
fields = {"any": values, "n": ints, "tags": tags, "deep": values | st.fixed_dictionaries({}, optional={"er": values})}
documents = st.fixed_dictionaries({"_id": ids, "rank": st.integers(0, 3), "key": texts}, optional=fields)

words = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
conditions = scalars | st.one_of(
    st.dictionaries(words, scalars, min_size=1, max_size=2),
    st.lists(scalars, max_size=3).map(lambda items: {"$in": items}),
    st.booleans().map(lambda there: {"$exists": there}),
)
wheres = st.dictionaries(st.sampled_from(["_id", "any", "n", "deep.er", "rank", "key"]), conditions, max_size=2)
searches = st.tuples(wheres, st.none() | tags).map(
    lambda both: both[0] if both[1] is None else {**both[0], "tags": {"$all": both[1]}}
)
changes = st.one_of(
    st.dictionaries(st.sampled_from(["any", "deep.er", "deep.x.y"]), values, min_size=1).map(lambda c: {"$set": c}),
    texts.map(lambda key: {"$set": {"key": key}}),
    tags.map(lambda some: {"$set": {"tags": some}}),
    st.sampled_from(["any", "deep", "deep.er", "n", "tags"]).map(lambda path: {"$unset": {path: ""}}),
    st.tuples(st.sampled_from(["n", "any", "deep.er"]), ints).map(
        lambda c: {"$inc": {c[0]: c[1]}, "$set": {"done": 1}}
    ),
    texts.map(lambda tag: {"$push": {"tags": tag}}),
    texts.map(lambda tag: {"$pull": {"tags": tag}}),
    values.map(lambda value: {"$push": {"any": value}}),
)
pages = st.tuples(st.sampled_from(["_id", "-_id", "rank", "-rank", "key", "-key"]), st.integers(1, 6))
operations = st.one_of(
    st.tuples(st.just("insert"), documents),
    st.tuples(st.just("update"), ids, changes, wheres),
    st.tuples(st.just("delete"), ids, wheres),
    st.tuples(st.just("find"), searches, pages),
)
INDEXES = (
    Index("any"),
    Index("n", when={"n": {"$gt": 0}}),
    Index("deep.er", "rank"),
    Index("rank"),
    Index("key"),
    Index("tags", many=True),
)
UNIQUE = Index("key", unique=True, when={"rank": {"$gte": 2}})
name = map("random{}".format, count())


class Model:
    def __init__(self):
        self.docs = {}

    def taken(self, doc):
        """The field that bars this document, if one does."""
        others = [other for id, other in self.docs.items() if id != doc["_id"]]
        covered = model.holds(doc, UNIQUE.when)
        return covered and any(model.holds(other, UNIQUE.when) and other["key"] == doc["key"] for other in others)

    def insert(self, doc):
        if doc["_id"] in self.docs:
            return "duplicate _id"
        if self.taken(doc):
            return "duplicate key"
        self.docs[doc["_id"]] = doc
        return None

    def update(self, id, change, when):
        if id not in self.docs or not model.holds(self.docs[id], when):
            return None
        new = model.change(self.docs[id], change)
        if new is None:
            return "refused"
        if self.taken(new):
            return "duplicate key"
        self.docs[id] = new
        return new

    def delete(self, id, when):
        gone = id in self.docs and model.holds(self.docs[id], when)
        if gone:
            del self.docs[id]
        return gone

    def find(self, where, page):
        sort, limit = page
        field = sort.lstrip("-")
        found = [doc for doc in self.docs.values() if model.holds(doc, where)]
        return sorted(found, key=lambda doc: (doc[field], doc["_id"]), reverse=sort.startswith("-"))[:limit]


def run(collection, operation, *arguments):
    try:
        if operation == "insert":
            return collection.insert(*arguments)
        if operation == "find":
            where, (sort, limit) = arguments
            return collection.find(where, sort=sort, limit=limit)
        *arguments, when = arguments
        return getattr(collection, operation)(*arguments, when=when)
    except Duplicate as error:
        return f"duplicate {error.field}"
    except ValueError:
        return "refused"


def plain(value):
    """For comparing: tells True from 1, and not the order of keys."""
    if isinstance(value, dict):
        return sorted((key, plain(item)) for key, item in value.items())
    return [plain(item) for item in value] if isinstance(value, list) else repr(value)


@pytest.mark.parametrize("unique", [False, True])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run_of=st.lists(operations, max_size=25))
def test_random_operations_give_what_the_model_gives(store, unique, run_of):
    # Two indexes on one field would have one name; the plain one on `key` gives way to the unique one.
    indexes = tuple(index for index in INDEXES if not unique or index.fields != ("key",))
    collection = Collection(next(name), *indexes, *((UNIQUE,) if unique else ()))
    collection.bind(store)
    expected = Model()
    if not unique:
        expected.taken = lambda doc: False
    for operation, *arguments in run_of:
        answer = run(collection, operation, *arguments)
        assert plain(answer) == plain(getattr(expected, operation)(*arguments)), (operation, *arguments)
    assert plain(collection.find()) == plain(sorted(expected.docs.values(), key=lambda doc: doc["_id"]))
