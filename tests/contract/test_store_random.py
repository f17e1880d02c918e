"""Random operations on the store give the same results as a simple model in memory."""

from itertools import count

import model
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.store import Collection, Duplicate, Index, UpdateOne

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

ids = st.sampled_from("abcd")
texts = st.sampled_from(["", "a", "B", "é", "\uffff", "\U00010000", "1", "true", "[]"])
ints = st.sampled_from([-(2**63), -1, 0, 1, 2, 2**63 - 1])
scalars = texts | ints | st.booleans()
values = scalars | st.none() | st.booleans()
tags = st.lists(texts, max_size=3)
lists = st.lists(values | st.fixed_dictionaries({"n": scalars}), max_size=3)
deep = values | st.fixed_dictionaries({}, optional={"er": values})
fields = {"any": values, "n": ints, "tags": tags, "deep": deep, "list": lists, "loose": values | lists}
documents = st.fixed_dictionaries({"_id": ids, "rank": st.integers(0, 3), "key": texts}, optional=fields)

comparisons = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
conditions = scalars | st.one_of(
    st.dictionaries(comparisons, scalars, min_size=1, max_size=2),
    st.lists(scalars, max_size=3).map(lambda items: {"$in": items}),
    st.booleans().map(lambda there: {"$exists": there}),
)
filters = st.dictionaries(st.sampled_from(["_id", "any", "n", "deep.er", "rank", "key"]), conditions, max_size=2)
searches = st.tuples(filters, st.none() | tags).map(
    lambda both: both[0] if both[1] is None else {**both[0], "tags": {"$all": both[1]}}
)
in_lists = st.dictionaries(st.sampled_from(["loose", "loose.n", "loose.0", "list", "tags"]), conditions, max_size=1)
guards = st.tuples(filters, in_lists).map(lambda both: {**both[0], **both[1]})
updates = st.one_of(
    st.dictionaries(st.sampled_from(["any", "deep.er", "deep.x.y"]), values, min_size=1).map(lambda c: {"$set": c}),
    texts.map(lambda key: {"$set": {"key": key}}),
    tags.map(lambda some: {"$set": {"tags": some}}),
    st.sampled_from(["any", "deep", "deep.er", "n", "tags"]).map(lambda path: {"$unset": {path: ""}}),
    st.tuples(st.sampled_from(["n", "any", "deep.er"]), ints).map(
        lambda c: {"$inc": {c[0]: c[1]}, "$set": {"done": 1}}
    ),
    texts.map(lambda tag: {"$push": {"tags": tag}}),
    texts.map(lambda tag: {"$pull": {"tags": tag}}),
    st.tuples(st.sampled_from(["list", "loose"]), values).map(lambda c: {"$push": {c[0]: c[1]}}),
    st.tuples(st.sampled_from(["list", "loose"]), values).map(lambda c: {"$pull": {c[0]: c[1]}}),
    scalars.map(lambda n: {"$pull": {"list": {"n": {"$lte": n}}}}),
    st.tuples(st.sampled_from(["loose.0", "loose.n"]), ints).map(lambda c: {"$inc": {c[0]: c[1]}}),
    st.sampled_from(["loose.0", "loose.n"]).map(lambda path: {"$unset": {path: ""}}),
)
sorts = st.sampled_from(["_id", "-_id", "rank", "-rank", "key", "-key", "any", "-any", "deep.er", "-deep.er"])
pages = st.tuples(sorts, st.integers(1, 6), st.none() | st.tuples(texts | ints, ids))
commuting = updates.filter(lambda update: "key" not in update.get("$set", {}))  # their order does not matter
batches = st.dictionaries(ids, st.tuples(commuting, guards), max_size=4).map(
    lambda each: [UpdateOne(id, update, when) for id, (update, when) in each.items()]
)
operations = st.one_of(
    st.tuples(st.just("insert"), documents),
    st.tuples(st.just("update"), ids, updates, st.just({})),
    st.tuples(st.just("update"), ids, updates, st.just({})),
    st.tuples(st.just("update"), ids, updates, guards),
    st.tuples(st.just("delete"), ids, guards),
    st.tuples(st.just("bulk_update"), batches),
    st.tuples(st.just("find"), searches, pages),
)
INDEXES = (
    Index("any"),
    Index("n", partial={"n": {"$gt": 0}}),
    Index("deep.er", "rank"),
    Index("rank"),
    Index("key"),
    Index("tags", multikey=True),
)
UNIQUE = Index("key", unique=True, partial={"rank": {"$gte": 2}})
name = map("random{}".format, count())


class Model:
    def __init__(self):
        self.docs = {}

    def is_taken(self, doc):
        """Return whether a unique field of this document is taken."""
        others = [other for id, other in self.docs.items() if id != doc["_id"]]
        covered = model.holds(doc, UNIQUE.partial)
        return covered and any(model.holds(other, UNIQUE.partial) and other["key"] == doc["key"] for other in others)

    def insert(self, doc):
        if doc["_id"] in self.docs:
            return "duplicate _id"
        if self.is_taken(doc):
            return "duplicate key"
        self.docs[doc["_id"]] = doc
        return None

    def update(self, id, update, when):
        if id not in self.docs or not model.holds(self.docs[id], when):
            return None
        new = model.apply_update(self.docs[id], update)
        if new is None:
            return "rejected"
        if self.is_taken(new):
            return "duplicate key"
        self.docs[id] = new
        return new

    def bulk_update(self, updates):
        for each in updates:
            self.update(each.id, each.update, each.when)

    def delete(self, id, when):
        gone = id in self.docs and model.holds(self.docs[id], when)
        if gone:
            del self.docs[id]
        return gone

    def find(self, where, page):
        sort, limit, after = page
        field, descending = sort.lstrip("-"), sort.startswith("-")

        def place(value, id):
            return (id,) if field == "_id" else (type(value) is str, value, id)

        found = [doc for doc in self.docs.values() if model.holds(doc, where)]
        there = [(model.at(doc, field), doc) for doc in found]
        ordered = {place(value, doc["_id"]): doc for value, doc in there if type(value) in (int, str)}
        places = sorted(ordered, reverse=descending)
        if after is not None:
            behind = [at for at in places if (at < place(*after) if descending else at > place(*after))]
            places = [at for at in behind if field == "_id" or at[0] == place(*after)[0]]
        return [ordered[at] for at in places[:limit]]


def run(collection, operation, *arguments):
    try:
        if operation in ("insert", "bulk_update"):
            return getattr(collection, operation)(*arguments)
        if operation == "find":
            where, (sort, limit, after) = arguments
            return collection.find(where, sort=sort, limit=limit, after=after)
        *arguments, when = arguments
        return getattr(collection, operation)(*arguments, when=when)
    except Duplicate as error:
        return f"duplicate {error.field}"
    except ValueError:
        return "rejected"


def plain(value):
    """Return a value for comparison: True differs from 1, and the order of keys does not count."""
    if isinstance(value, dict):
        return sorted((key, plain(item)) for key, item in value.items())
    return [plain(item) for item in value] if isinstance(value, list) else repr(value)


@pytest.mark.parametrize("unique", [False, True])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(operations, max_size=25))
def test_random_operations_agree_with_the_model(store, unique, sequence):
    # Two indexes on one field would have the same name; the unique one replaces the plain one on `key`.
    indexes = tuple(index for index in INDEXES if not unique or index.fields != ("key",))
    collection = Collection(next(name), *indexes, *((UNIQUE,) if unique else ()))
    collection.attach(store).ensure_indexes()
    expected = Model()
    if not unique:
        expected.is_taken = lambda doc: False
    for operation, *arguments in sequence:
        result = run(collection, operation, *arguments)
        assert plain(result) == plain(getattr(expected, operation)(*arguments)), (operation, *arguments)
    assert plain(collection.find()) == plain(sorted(expected.docs.values(), key=lambda doc: doc["_id"]))
