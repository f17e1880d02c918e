"""The store's contract: documents of two versions side by side, and the migration between them."""

import threading
from itertools import count

import model
import pytest
import workers
from collections_under_test import ids
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.store import Collection, Index, StoreUnavailable, UpdateOne, Version, cursor_after, migration

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

DEFAULTS = {"isPublished": True, "rank": 3, "key": ""}


def with_key(doc):
    return {"key": f"{doc['name'].casefold()}\x01{doc['name']}"}


VERSION = Version(defaults={"isPublished": True, "rank": 3, "note": {}}, sort_keys=("key",), upcast=with_key)
INDEXES = Index("isPublished", "key"), Index("rank"), Index("key"), Index("name")


class Releases:
    """The same collection as the release before and as the present one see it, each by a store of its own."""

    def __init__(self, engine, name="things"):
        self.stores = engine.store(), engine.store()
        self.old = Collection(name, Index("name")).attach(self.stores[0])
        self.new = Collection(name, *INDEXES, versions=(VERSION,)).attach(self.stores[1])
        self.old.ensure_indexes()
        self.new.ensure_indexes()
        migration.records.attach(self.stores[1]).ensure_indexes()

    def insert_old(self, *names):
        for name in names:
            self.old.insert({"_id": name.lower(), "name": name, "n": 0})

    def stored(self, id):
        """Return a document as it is stored, with the field that no reader sees."""
        return self.stores[0].get(self.old, id)

    def migrate(self):
        mine = migration.Migration(self.new)
        mine.hold()
        return migration.finish(mine)

    def close(self):
        for store in self.stores:
            store.close()


@pytest.fixture
def both(engine):
    releases = Releases(engine)
    yield releases
    releases.close()


def document(name, **fields):
    return {"_id": name.lower(), "name": name, "n": 0, "isPublished": True, "rank": 3, "note": {}} | fields


def current(name, **fields):
    doc = document(name, **fields)
    return doc | with_key(doc)


def test_reader_sees_the_new_fields_of_an_old_document(both):
    both.insert_old("Bee")
    both.new.insert(current("Ant", isPublished=False))
    assert both.new.get("bee") == current("Bee")
    assert both.new.find() == list(both.new.iterate()) == [current("Ant", isPublished=False), current("Bee")]
    assert both.new.update("bee", {"$inc": {"n": 1}}) == current("Bee", n=1)
    assert both.stored("bee") == {"_id": "bee", "name": "Bee", "n": 1}, "reading rewrites nothing"
    assert both.new.get("ant") == current("Ant", isPublished=False)


def test_guard_on_a_new_field_holds_by_the_value_of_the_upcaster(both):
    both.insert_old("Bee", "Cat", "Dog", "Eel")
    assert both.new.update("bee", {"$inc": {"n": 1}}, when={"isPublished": False}) is None
    assert both.new.update("bee", {"$inc": {"n": 1}}, when={"isPublished": True}) == current("Bee", n=1)
    assert both.new.update("cat", {"$inc": {"rank": 1}}, when={"key": "cat\x01Cat"}) == current("Cat", rank=4)
    assert both.new.update("cat", {"$set": {"note.text": "x"}}) == current("Cat", rank=4, note={"text": "x"})
    assert both.new.update("none", {"$inc": {"n": 1}}, when={"isPublished": True}) is None
    both.new.bulk_update(
        [
            UpdateOne("dog", {"$inc": {"rank": 1}}, {"isPublished": True}),
            UpdateOne("eel", {"$inc": {"n": 1}}, {"rank": 4}),
        ]
    )
    assert (both.new.get("dog"), both.new.get("eel")) == (current("Dog", rank=4), current("Eel"))
    assert not both.new.delete("eel", when={"isPublished": False})
    assert both.new.delete("eel", when={"isPublished": True, "rank": 3})


def test_process_of_the_release_before_works_on_rewritten_documents(both):
    both.insert_old("Bee")
    assert both.new.update("bee", {"$set": {"isPublished": False}})
    assert both.old.update("bee", {"$set": {"name": "Bumblebee"}}, when={"n": 0})
    assert both.old.find(sort="name")[0]["name"] == "Bumblebee"
    assert both.new.get("bee")["isPublished"] is False, "an older process does not reset what it does not know"
    assert both.migrate()["rewritten"] == 1
    assert both.new.get("bee") == current("Bumblebee", _id="bee", isPublished=False)


def test_document_of_a_later_release_is_left_alone(engine, both):
    later = Collection("things", Index("name"), versions=(VERSION, Version(defaults={"extra": 1}))).attach(
        both.stores[0]
    )
    ant = {**current("Ant"), "extra": 5, "key": "of the later release"}
    later.insert(ant)
    assert both.new.update("ant", {"$set": {"rank": 9}}, when={"isPublished": True})["rank"] == 9
    assert both.migrate()["rewritten"] == 0
    assert both.stored("ant") == {**ant, "rank": 9, "_v": 2}


def test_new_document_needs_every_field(both):
    for lacking in ("isPublished", "note", "key"):
        with pytest.raises(ValueError, match=lacking):
            both.new.insert({name: value for name, value in current("Ant").items() if name != lacking})
    both.new.insert(current("Ant"))
    for update in ({"$unset": {"note": ""}}, {"$set": {"isPublished": 1}}, {"$set": {"key": ""}}, {"$set": {"_v": 1}}):
        with pytest.raises(ValueError):
            both.new.update("ant", update)
    assert both.new.get("ant") == current("Ant")


def test_fields_with_a_default_have_a_simple_place_in_the_order(both):
    with pytest.raises(ValueError):
        both.new.find(sort="rank")
    with pytest.raises(ValueError):
        both.new.find({"_v": 1})


flags, ranks, keys = st.booleans(), st.integers(1, 5), st.sampled_from(["", "a\x01A", "b\x01B", "c"])
operators = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])


def conditions(values):
    return st.one_of(
        values,
        st.dictionaries(operators, values, min_size=1, max_size=2),
        st.lists(values, max_size=3).map(lambda items: {"$in": items}),
        st.booleans().map(lambda there: {"$exists": there}),
    )


searches = st.fixed_dictionaries(
    {}, optional={"isPublished": conditions(flags), "rank": conditions(ranks), "key": conditions(keys)}
)
old_documents = st.fixed_dictionaries({"name": st.sampled_from("aAbB")})
new_documents = st.fixed_dictionaries({"name": st.sampled_from("aAbB"), "isPublished": flags, "rank": ranks})
numbers = map("random{}".format, count())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    docs=st.lists(old_documents | new_documents, max_size=8),
    search=searches,
    sort=st.sampled_from(["_id", "-_id", "key", "-key", "name"]),
    limit=st.integers(1, 4),
)
def test_missing_field_counts_as_its_default_in_every_search(store, docs, search, sort, limit):
    name = next(numbers)
    old = Collection(name, Index("name")).attach(store)
    new = Collection(name, *INDEXES, versions=(VERSION,)).attach(store)
    new.ensure_indexes()
    expected = []
    for number, doc in enumerate(docs):
        doc = {"_id": str(number), **doc}
        if "rank" in doc:
            doc |= {"note": {}, **with_key(doc)}
            new.insert(doc)
        else:
            old.insert(doc)
        expected.append({**DEFAULTS, **doc})
    field, descending = sort.lstrip("-"), sort.startswith("-")
    matching = [doc for doc in expected if model.holds(doc, search)]
    matching.sort(key=lambda doc: (doc[field], doc["_id"]), reverse=descending)

    found, after = [], None
    while page := new.find(search, sort=sort, limit=limit, after=after):
        found += page
        after = cursor_after(page, sort)
    assert ids(found) == ids(matching)
    assert new.count(search) == len(matching)
    assert new.sum("rank", search) == sum(doc["rank"] for doc in matching)


def test_index_is_partial_only_by_what_every_document_holds(store):
    with pytest.raises(ValueError, match="partial"):
        Collection("x", Index("n", partial={"open": True}), versions=(Version(defaults={"open": True}),))
    old = Collection("x").attach(store)
    new = Collection("x", Index("n", partial={"open": True}), versions=(Version(defaults={"open": False}),))
    new.attach(store).ensure_indexes()
    old.insert({"_id": "1", "n": 1})
    new.insert({"_id": "2", "n": 2, "open": True})
    assert (ids(new.find({"open": True})), ids(new.find({"open": False}))) == (["2"], ["1"])
    assert new.update("1", {"$set": {"open": True}}, when={"open": False})
    assert ids(new.find({"open": True}, sort="-n")) == ["2", "1"]


@pytest.mark.parametrize("sort", ["key", "-key"])
def test_documents_without_a_sort_key_come_before_all_others(both, sort):
    both.insert_old("Bee", "Eel")
    for name in ("Ant", "Cat", "Fly"):
        both.new.insert(current(name))
    ordered = ["bee", "eel", "ant", "cat", "fly"]
    found, after = [], None
    while page := both.new.find(sort=sort, limit=1, after=after):
        found += ids(page)
        after = cursor_after(page, sort)
    assert found == (ordered if sort == "key" else ordered[::-1])


class DyingStore:
    """A store whose process dies at its write number `at`: before the write, or after it."""

    WRITES = ("insert", "update", "rewrite")

    def __init__(self, store, at, after):
        self.store, self.left, self.after = store, at, after

    def __getattr__(self, name):
        operation = getattr(self.store, name)

        def counted(*arguments):
            self.left -= 1
            if self.left or self.after:
                result = operation(*arguments)
            if not self.left:
                raise StoreUnavailable("dead")
            return result

        return counted if name in self.WRITES else operation


@pytest.mark.parametrize("after", [False, True])
def test_migration_killed_at_any_write_resumes(engine, monkeypatch, after):
    monkeypatch.setattr(migration, "PAGE", 2)
    names = ["Ant", "Bee", "Cat", "Dog", "Eel"]
    for at in range(1, 30):
        both = Releases(engine, f"killed{at}")
        both.insert_old(*names)
        dying = DyingStore(both.stores[1], at, after)
        both.new.attach(dying)
        migration.records.attach(dying)
        try:
            both.migrate()
        except StoreUnavailable:
            pass
        else:
            assert at > 5, "a pass over three pages has more writes"
            both.close()
            return
        both.new.attach(both.stores[1])
        migration.records.attach(both.stores[1])
        both.old.update("bee", {"$inc": {"n": 1}})
        record = both.migrate()
        assert [both.stored(name.lower()) for name in names] == [
            {**current(name, n=int(name == "Bee")), "_v": 1} for name in names
        ]
        assert record["finishedAt"] and record["read"] == 5, "each page counts once"
        both.close()
    pytest.fail("the migration never ended")


def test_migration_of_a_killed_process_continues(engine, store):
    old = Collection("books").attach(store)
    migration.records.attach(store).ensure_indexes()
    workers.books.attach(store).ensure_indexes()
    for n in range(150):
        old.insert({"_id": f"{n:03}", "n": n})
    with workers.working((workers.migrate, engine)) as (worker,):
        assert worker.pipe.recv() == "under way"
        worker.kill()
    mine = migration.Migration(workers.books)
    is_new = mine.hold()
    record = migration.finish(mine)
    assert record["finishedAt"] and record["failed"] == 0
    assert is_new or record["read"] == 150, "each document counts once"
    assert store.find(old, {}, "_id", 1000, None) == [
        {"_id": f"{n:03}", "n": n, "size": n, "_v": 1} for n in range(150)
    ]


def test_second_process_continues_a_pass_that_was_left(both, monkeypatch):
    monkeypatch.setattr(migration, "PAGE", 2)
    both.insert_old("Ant", "Bee", "Cat", "Dog")
    first, second = migration.Migration(both.new), migration.Migration(both.new)
    assert first.is_due() and first.hold() and first.step()
    assert not second.is_due(), "the pass belongs to the first"
    assert not second.hold(), "the pass is not begun anew"
    assert not first.step(), "the first stops"
    assert both.stored("cat") == {"_id": "cat", "name": "Cat", "n": 0}
    record = migration.finish(second)
    assert (record["read"], record["rewritten"], record["failed"]) == (4, 4, 0)


def test_migration_loses_no_concurrent_write(both):
    both.insert_old(*(f"{n:03}" for n in range(100)))
    stop = threading.Event()
    done = dict.fromkeys((f"{n:03}" for n in range(100)), 0)

    def work_as_before():
        while not stop.is_set():
            for id in done:
                done[id] += 1
                assert both.old.update(id, {"$inc": {"n": 1}, "$set": {"name": f"N{done[id]}"}})

    thread = threading.Thread(target=work_as_before)
    thread.start()
    try:
        for _ in range(3):
            both.migrate()
    finally:
        stop.set()
        thread.join()
    both.migrate()
    for id, times in done.items():
        assert both.stored(id) == {**current(f"N{times}", _id=id, n=times), "_v": 1}
    assert both.migrate()["rewritten"] == 0


def test_what_an_older_process_adds_later_is_found_and_rewritten_by_the_next_pass(both):
    both.migrate()
    both.insert_old("Bee")
    assert ids(both.new.find({"isPublished": True}, sort="key")) == ["bee"]
    both.migrate()
    assert both.stored("bee") == {**current("Bee"), "_v": 1}


@pytest.mark.parametrize("sort", ["_id", "key", "-key"])
def test_damaged_document_is_found_with_its_defaults_and_holds_up_no_other(both, sort):
    both.old.insert({"_id": "a", "n": 0})
    both.insert_old("Bee")
    found = both.new.find({"isPublished": True}, sort=sort)
    damaged = next(doc for doc in found if doc["_id"] == "a")
    assert damaged == {"_id": "a", "n": 0, "isPublished": True, "rank": 3, "note": {}, "key": ""}
    assert sorted(ids(found)) == ["a", "bee"]
    first = both.new.find({"isPublished": True}, sort=sort, limit=1)
    rest = both.new.find({"isPublished": True}, sort=sort, after=cursor_after(first, sort))
    assert ids(first + rest) == ids(found)
    with pytest.raises(KeyError):
        both.new.get("a")


def test_damaged_document_does_not_stop_the_migration(both):
    both.old.insert({"_id": "a", "n": 0})
    both.insert_old("Bee")
    record = both.migrate()
    assert (record["read"], record["rewritten"], record["failed"]) == (2, 1, 1)
    assert both.stored("a") == {"_id": "a", "n": 0}


def test_document_that_becomes_too_large_does_not_stop_the_migration(both):
    half = "x" * 9 * 1024 * 1024
    twice = Version(defaults={"copy": ""}, upcast=lambda doc: {"copy": doc["text"]})
    both.new = Collection("things", Index("name"), versions=(twice,)).attach(both.stores[1])
    for id, text in (("a", "x"), ("large", half), ("z", "x")):
        both.old.insert({"_id": id, "text": text})
    record = both.migrate()
    assert (record["read"], record["rewritten"], record["failed"]) == (3, 2, 1)
    assert [both.stored(id).get("_v") for id in ("a", "large", "z")] == [1, None, 1]
