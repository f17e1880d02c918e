"""The store's contract: order and pages, unique and partial indexes, and what outlives a process."""

import threading

import pytest

from chassis.store import Collection, Duplicate, Index, UpdateOne, cursor_after
from tests.system.running import eventually

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)


def made(store, name, *indexes):
    collection = Collection(name, *indexes)
    collection.attach(store).ensure_indexes()
    return collection


def ids(docs):
    return [doc["_id"] for doc in docs]


def pages(collection, limit, where=None, sort="_id"):
    found, after = [], None
    while page := collection.find(where, sort=sort, limit=limit, after=after):
        found += ids(page)
        after = cursor_after(page, sort)
    return found


@pytest.fixture
def people(store):
    people = made(store, "people", Index("town", "age"), Index("age"), Index("at.seen"))
    for n in range(40):
        age = (n * 7) % 11
        people.insert({"_id": f"p{n:02}", "age": age, "town": "NESW"[n % 4], "at": {"seen": f"2030-01-{n % 9 + 1:02}"}})
    return people


@pytest.mark.parametrize("limit", [1, 3, 40, 100])
@pytest.mark.parametrize("sort", ["_id", "-_id", "age", "-age", "at.seen", "-at.seen"])
@pytest.mark.parametrize(
    "where", [None, {"town": "E"}, {"age": {"$gte": 3}}, {"town": {"$in": ["N", "S"]}, "age": {"$lt": 9}}]
)
def test_pages_give_every_match_once_in_order(people, limit, sort, where):
    everything = people.find(where, sort=sort)

    def key(doc):
        value = doc
        for name in sort.lstrip("-").split("."):
            value = value[name]
        return value, doc["_id"]

    assert everything == sorted(everything, key=key, reverse=sort.startswith("-"))
    assert pages(people, limit, where, sort) == ids(everything)
    assert sorted(ids(everything)) == sorted(ids(people.iterate(where)))


@pytest.mark.parametrize("where", [None, {"town": "N"}, {"town": {"$in": ["N", "E"]}, "age": {"$gt": 4}}, {"age": 99}])
def test_what_matches_is_counted_and_a_field_of_it_summed(people, where):
    found = people.find(where, limit=100)
    assert people.count(where) == len(found)
    assert people.sum("age", where) == sum(doc["age"] for doc in found)


def test_a_sum_takes_the_ints_alone(store):
    things = made(store, "things", Index("n"), Index("words", multikey=True))
    for number, value in enumerate([3, -1, "7", True, None, {"n": 2}]):
        things.insert({"_id": f"t{number}", "n": value, "words": ["a"] if number % 2 else []})
    things.insert({"_id": "without", "words": []})
    assert (things.count(), things.sum("n"), things.count({"words": {"$all": ["a"]}})) == (7, 2, 3)
    for field, where in (("elsewhere", None), ("words", None), ("n", {"elsewhere": 1}), ("n", {"words": "a"})):
        with pytest.raises(ValueError):
            things.sum(field, where)
    for where in ({"elsewhere": 1}, {"words": "a"}):
        with pytest.raises(ValueError):
            things.count(where)


def test_text_is_in_the_order_of_its_code_points(store):
    names = made(store, "names", Index("name"))
    words = ["Z", "a", "é", "ab", "", "\uffff", "\U00010000", "A", "z", "~"]
    for n, word in enumerate(words):
        names.insert({"_id": str(n), "name": word})
    assert [doc["name"] for doc in names.find(sort="name")] == sorted(words)
    assert [doc["name"] for doc in names.find(sort="-name")] == sorted(words, reverse=True)


def test_only_text_and_ints_have_a_place_in_an_order(store):
    mixed = made(store, "mixed", Index("v"))
    values = {"1": 5, "2": "b", "3": True, "4": None, "5": {"x": 1}, "6": "a", "7": -1, "8": 5}
    for id, value in values.items():
        mixed.insert({"_id": id, "v": value})
    mixed.insert({"_id": "9"})
    assert ids(mixed.find(sort="v")) == ["7", "1", "8", "6", "2"]
    assert ids(mixed.find(sort="-v")) == ["2", "6", "8", "1", "7"]
    assert ids(mixed.find(sort="v", after=(5, "1"))) == ["8"], "behind an int there are ints alone"
    assert ids(mixed.find(sort="-v", after=("b", "2"))) == ["6"]
    assert ids(mixed.find({"_id": {"$gt": "1"}}, sort="v", limit=2)) == ["7", "8"]
    assert len(mixed.find()) == 9


def test_a_document_inserted_behind_the_cursor_moves_no_page(people):
    first = people.find(sort="age", limit=5)
    people.insert({"_id": "p000", "age": 0, "town": "N", "at": {"seen": ""}})
    rest = people.find(sort="age", after=cursor_after(first, "age"))
    assert len(first) + len(rest) == 40
    assert not set(ids(first)) & set(ids(rest))


def test_every_reads_on_over_many_pages(store):
    many = made(store, "many", Index("odd"))
    for n in range(1203):
        many.insert({"_id": f"{n:04}", "odd": n % 2})
    assert len(list(many.iterate())) == 1203
    assert ids(many.iterate({"odd": 1})) == [f"{n:04}" for n in range(1, 1203, 2)]


def test_a_unique_index_bars_a_second_document_on_insert_and_on_update(store):
    users = made(store, "users", Index("email", unique=True))
    users.insert({"_id": "1", "email": "a@x"})
    users.insert({"_id": "2", "email": "b@x"})
    with pytest.raises(Duplicate) as caught:
        users.insert({"_id": "3", "email": "a@x"})
    assert caught.value.field == "email"
    with pytest.raises(Duplicate) as caught:
        users.update("2", {"$set": {"email": "a@x"}})
    assert caught.value.field == "email"
    assert users.get("2") == {"_id": "2", "email": "b@x"}
    assert users.get("3") is None
    users.delete("1")
    assert users.update("2", {"$set": {"email": "a@x"}})


def test_the_id_is_named_where_both_it_and_a_unique_field_are_taken(store):
    users = made(store, "users", Index("email", unique=True))
    users.insert({"_id": "1", "email": "a@x"})
    with pytest.raises(Duplicate) as caught:
        users.insert({"_id": "1", "email": "a@x"})
    assert caught.value.field == "_id"


def test_the_id_is_named_even_where_what_was_in_the_way_goes_at_once(store):
    people = made(store, "comers", Index("email", unique=True))
    doc = {"_id": "a", "email": "a@x"}
    over, named = threading.Event(), set()

    def come():
        try:
            people.insert(doc)
        except Duplicate as error:
            named.add(error.field)

    def come_and_go():
        while not over.is_set():
            come()
            people.delete("a")

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            come()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert named == {"_id"}


def test_a_document_that_is_changed_all_the_time_can_be_deleted(store):
    counters = made(store, "counters")
    over = threading.Event()

    def count():
        while not over.is_set():
            counters.update("a", {"$inc": {"n": 1}})

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(30):
            counters.insert({"_id": "a", "n": 0})
            eventually(lambda: counters.get("a")["n"])
            assert counters.delete("a")
            assert not counters.delete("a")
    finally:
        over.set()
        thread.join()


def test_a_unique_index_over_two_fields_bars_only_the_pair(store):
    steps = made(store, "steps", Index("order", "step", unique=True))
    steps.insert({"_id": "1", "order": "o", "step": 1})
    steps.insert({"_id": "2", "order": "o", "step": 2})
    steps.insert({"_id": "3", "order": "p", "step": 1})
    steps.insert({"_id": "4", "order": "o", "step": "1"})
    with pytest.raises(Duplicate) as caught:
        steps.insert({"_id": "5", "order": "o", "step": 1})
    assert caught.value.field == "order"


@pytest.mark.parametrize("email", [{}, {"email": None}, {"email": True}, {"email": ["a@x"]}, {"email": {"a": "x"}}])
def test_a_field_with_a_unique_index_must_be_there_and_a_scalar(store, email):
    users = made(store, "users", Index("email", unique=True))
    with pytest.raises(ValueError):
        users.insert({"_id": "1", **email})
    users.insert({"_id": "2", "email": "b@x"})
    with pytest.raises(ValueError):
        users.update("2", {"$set": email} if email else {"$unset": {"email": ""}})
    assert users.find() == [{"_id": "2", "email": "b@x"}]


def test_a_partial_unique_index_bars_only_documents_that_it_covers(store):
    carts = made(store, "carts", Index("user", unique=True, partial={"open": True}))
    carts.insert({"_id": "1", "user": "u", "open": False})
    carts.insert({"_id": "2", "user": "u", "open": True})
    carts.insert({"_id": "3", "user": "u", "open": 1})
    with pytest.raises(ValueError):
        carts.insert({"_id": "4", "open": False})
    with pytest.raises(Duplicate):
        carts.insert({"_id": "5", "user": "u", "open": True})
    with pytest.raises(Duplicate):
        carts.update("1", {"$set": {"open": True}})
    assert carts.update("2", {"$set": {"open": False}})
    assert carts.update("1", {"$set": {"open": True}})


def test_each_of_many_changes_is_made_or_not_by_itself(store):
    docs = made(store, "docs", Index("email", unique=True))
    for n in range(6):
        docs.insert({"_id": str(n), "email": f"{n}@x", "n": n if n != 3 else "text"})
    docs.bulk_update(
        [
            UpdateOne("5", {"$inc": {"n": 10}}, {"n": 5}),
            UpdateOne("4", {"$inc": {"n": 10}}, {"n": 5}),
            UpdateOne("3", {"$inc": {"n": 10}}),
            UpdateOne("2", {"$set": {"email": "1@x"}, "$inc": {"n": 10}}),
            UpdateOne("none", {"$inc": {"n": 10}}),
            UpdateOne("0", {"$inc": {"n": 10}}),
            *(UpdateOne("1", {"$inc": {"n": 1}}) for _ in range(10)),
        ]
    )
    assert [doc["n"] for doc in docs.find()] == [10, 11, 2, "text", 4, 15]
    docs.bulk_update([])
    with pytest.raises(ValueError):
        docs.bulk_update([UpdateOne("0", {"$inc": {"n": 1}}), UpdateOne("0", {"$set": {"email": None}})])
    assert docs.get("0") == {"_id": "0", "email": "0@x", "n": 10}


def test_an_erased_document_leaves_a_unique_index_that_covers_only_what_has_the_field(store):
    users = made(store, "users", Index("email", unique=True, partial={"email": {"$exists": True}}))
    for id in "12":
        users.insert({"_id": id, "email": f"{id}@x"})
        assert users.update(id, {"$unset": {"email": ""}, "$set": {"erased": True}})
    users.insert({"_id": "3", "email": "1@x"})


def test_a_partial_index_finds_what_it_covers(store):
    boxes = made(store, "boxes", Index("pending", partial={"pending": {"$gt": 0}}))
    for n in range(10):
        boxes.insert({"_id": str(n), "pending": n % 3})
    boxes.update("1", {"$inc": {"pending": -1}})
    assert ids(boxes.find({"pending": {"$gt": 0}})) == ["2", "4", "5", "7", "8"]
    assert ids(boxes.find({"pending": {"$gt": 1}})) == ["2", "5", "8"]
    assert ids(boxes.find({"pending": 0})) == ["0", "1", "3", "6", "9"]


def test_indexes_added_later_cover_what_was_there_before(store):
    made(store, "docs").insert({"_id": "1", "a": 1, "words": ["x", "y"]})
    docs = made(store, "docs", Index("a", unique=True), Index("words", multikey=True))
    assert ids(docs.find({"a": 1})) == ids(docs.find({"words": {"$all": ["y"]}})) == ["1"]
    with pytest.raises(Duplicate):
        docs.insert({"_id": "2", "a": 1})


def test_an_index_that_is_not_declared_any_more_is_gone_and_may_come_back(store):
    indexes = Index("email", unique=True), Index("words", multikey=True)
    made(store, "docs", *indexes).insert({"_id": "1", "email": "a@x", "words": ["x"]})
    docs = made(store, "docs")
    docs.insert({"_id": "2", "email": "a@x", "words": ["x"]})
    docs.update("1", {"$set": {"words": ["y"], "email": "b@x"}})
    docs = made(store, "docs", *indexes)
    assert ids(docs.find({"words": {"$all": ["x"]}})) == ["2"]
    with pytest.raises(Duplicate):
        docs.insert({"_id": "3", "email": "b@x"})


def test_an_index_that_is_declared_otherwise_is_made_anew(store):
    first = made(store, "docs", Index("a", partial={"a": {"$gt": 5}}, unique=True), Index("b"), Index("c"))
    for n in range(10):
        first.insert({"_id": str(n), "a": n, "b": 1, "c": n})
    partial = Index("a", partial={"a": {"$gt": 8}}, unique=True)
    docs = made(store, "docs", partial, Index("b", "c"), Index("c", unique=True))
    docs.insert({"_id": "x", "a": 7, "b": 0, "c": 10})
    with pytest.raises(Duplicate) as caught:
        docs.insert({"_id": "y", "a": 9, "b": 0, "c": 11})
    assert caught.value.field == "a"
    with pytest.raises(Duplicate) as caught:
        docs.insert({"_id": "y", "a": 1, "b": 0, "c": 9})
    assert caught.value.field == "c"
    with pytest.raises(Duplicate) as caught:
        docs.update("x", {"$set": {"c": 9}})
    assert caught.value.field == "c"
    assert ids(docs.find({"b": 1}, sort="-c", limit=2)) == ["9", "8"]


def test_documents_are_there_for_one_who_opens_the_store_later(engine, store):
    made(store, "docs", Index("a")).insert({"_id": "1", "a": 1})
    store.close()
    assert made(engine.store(), "docs", Index("a")).find({"a": 1}) == [{"_id": "1", "a": 1}]


def test_collections_are_apart(store):
    one, other = made(store, "one"), made(store, "other")
    one.insert({"_id": "1"})
    assert other.get("1") is None


def test_threads_of_one_process_never_oversell(store):
    stock = made(store, "stock")
    stock.insert({"_id": "p", "available": 50, "sold": []})
    won = []

    def buy(buyer):
        for n in range(20):
            if stock.update(
                "p", {"$inc": {"available": -1}, "$push": {"sold": f"{buyer}-{n}"}}, when={"available": {"$gte": 1}}
            ):
                won.append(f"{buyer}-{n}")

    threads = [threading.Thread(target=buy, args=(buyer,)) for buyer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    doc = stock.get("p")
    assert doc["available"] == 0
    assert sorted(doc["sold"]) == sorted(won)
    assert len(won) == 50


def test_ping_answers(store):
    store.ping()


def test_each_thread_gets_its_own_outcome_where_many_write_at_once(store):
    """They may share a transaction; what one is refused must neither hurt the others nor leave anything behind."""
    docs = made(store, "docs", Index("email", unique=True))
    docs.insert({"_id": "taken", "email": "taken@x", "n": "text"})
    outcomes = {}

    def work(me):
        for n in range(10):
            id = f"{me}-{n}"
            docs.insert({"_id": id, "email": id})
            with pytest.raises(Duplicate):
                docs.insert({"_id": f"{id}-again", "email": "taken@x"})
            with pytest.raises(ValueError):
                docs.update("taken", {"$set": {"by": id}, "$inc": {"n": 1}})
            assert docs.update(id, {"$set": {"seen": True}}, when={"seen": True}) is None
        outcomes[me] = "done"

    threads = [threading.Thread(target=work, args=(me,)) for me in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == dict.fromkeys("abcdefgh", "done")
    assert len(list(docs.iterate())) == 81
    assert docs.get("taken") == {"_id": "taken", "email": "taken@x", "n": "text"}
