"""The store's contract: order, pages, counts and sums."""

import pytest
from collections_under_test import created, ids

from chassis.store import Index, cursor_after

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)


def pages(collection, limit, where=None, sort="_id"):
    found, after = [], None
    while page := collection.find(where, sort=sort, limit=limit, after=after):
        found += ids(page)
        after = cursor_after(page, sort)
    return found


@pytest.fixture
def people(store):
    people = created(store, "people", Index("town", "age"), Index("age"), Index("at.seen"))
    for n in range(40):
        age = (n * 7) % 11
        people.insert({"_id": f"p{n:02}", "age": age, "town": "NESW"[n % 4], "at": {"seen": f"2030-01-{n % 9 + 1:02}"}})
    return people


@pytest.mark.parametrize("limit", [1, 3, 40, 100])
@pytest.mark.parametrize("sort", ["_id", "-_id", "age", "-age", "at.seen", "-at.seen"])
@pytest.mark.parametrize(
    "where", [None, {"town": "E"}, {"age": {"$gte": 3}}, {"town": {"$in": ["N", "S"]}, "age": {"$lt": 9}}]
)
def test_pages_return_every_match_once_in_order(people, limit, sort, where):
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
def test_count_and_sum_cover_all_matches(people, where):
    found = people.find(where, limit=100)
    assert people.count(where) == len(found)
    assert people.sum("age", where) == sum(doc["age"] for doc in found)


def test_sum_ignores_values_other_than_ints(store):
    things = created(store, "things", Index("n"), Index("words", multikey=True))
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


@pytest.mark.parametrize("where", [None, {"town": "N"}, {"age": {"$gt": 4}}, {"age": 99}])
@pytest.mark.parametrize("up_to", [1, 3, 10, 100])
def test_count_stops_where_it_is_told(people, where, up_to):
    assert people.count(where, up_to=up_to) == min(people.count(where), up_to)


def test_count_by_counts_each_text_and_leaves_out_other_values(store):
    shelf = created(store, "shelf", Index("sold", "kind"), Index("kind"), Index("words", multikey=True))
    for number, kind in enumerate(["mug", "", "jug", "mug", 7, None, True, {"a": "mug"}, "Mug"]):
        shelf.insert({"_id": str(number), "kind": kind, "sold": number % 2 == 1, "words": []})
    shelf.insert({"_id": "without", "sold": False})
    assert shelf.count_by("kind") == {"mug": 2, "": 1, "jug": 1, "Mug": 1}
    assert shelf.count_by("kind", {"sold": True}) == {"": 1, "mug": 1}
    assert shelf.count_by("kind", {"kind": {"$gt": "k"}, "sold": False}) == {"mug": 1}
    assert shelf.count_by("kind", {"kind": 7}) == {}
    for field, where in (("elsewhere", None), ("words", None), ("kind", {"elsewhere": 1})):
        with pytest.raises(ValueError):
            shelf.count_by(field, where)


@pytest.mark.parametrize("limit", [1, 4, 100])
@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"words": {"$all": ["odd"]}}, lambda n: n % 2),
        ({"words": {"$all": ["odd", "third"]}}, lambda n: n % 6 == 3),
        ({"words": {"$all": ["odd", "odd"]}, "starts": {"$all": ["o"]}}, lambda n: n % 2),
        ({"words": {"$all": ["third"]}, "starts": {"$all": ["o", "t"]}, "age": {"$lt": 3}}, lambda n: n % 6 == 3),
        ({"words": {"$all": ["odd"]}, "_id": {"$lte": "d09"}}, lambda n: n % 2 and n < 10),
        ({"words": {"$all": ["odd", "none"]}}, lambda n: False),
        ({"words": {"$all": ["odd"]}, "starts": {"$all": []}}, lambda n: False),
        ({"words": {"$all": ["odd"]}, "_id": {"$in": ["d01", "d02", "d03"]}}, lambda n: n in (1, 3)),
    ],
)
def test_pages_of_lists_have_every_match_once(store, limit, where, found):
    many = created(store, "many", Index("words", multikey=True), Index("starts", multikey=True), Index("age"))
    for n in range(30):
        words = ["odd"] * (n % 2) + ["third"] * (n % 3 == 0)
        many.insert(
            {"_id": f"d{n:02}", "age": n * n % 9 + n % 2, "words": words, "starts": [word[0] for word in words]}
        )
    many.update("d01", {"$set": {"words": [], "starts": []}})
    many.update("d01", {"$set": {"words": ["odd", "left"], "starts": ["o", "l"]}})
    many.delete("d29")
    expected = [f"d{n:02}" for n in range(29) if found(n)]
    if "age" in where:
        expected = [id for id in expected if many.get(id)["age"] < 3]
    assert pages(many, limit, where) == expected
    assert pages(many, limit, where, "-_id") == expected[::-1]
    assert sorted(pages(many, limit, where, "age")) == expected
    assert (many.count(where), many.count(where, up_to=100)) == (len(expected), len(expected))
    assert many.count(where, up_to=2) == min(2, len(expected))


def test_text_sorts_by_code_point(store):
    names = created(store, "names", Index("name"))
    words = ["Z", "a", "é", "ab", "", "\uffff", "\U00010000", "A", "z", "~"]
    for n, word in enumerate(words):
        names.insert({"_id": str(n), "name": word})
    assert [doc["name"] for doc in names.find(sort="name")] == sorted(words)
    assert [doc["name"] for doc in names.find(sort="-name")] == sorted(words, reverse=True)


def test_sort_leaves_out_values_other_than_text_and_ints(store):
    mixed = created(store, "mixed", Index("v"))
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


def test_insert_behind_the_cursor_moves_no_page(people):
    first = people.find(sort="age", limit=5)
    people.insert({"_id": "p000", "age": 0, "town": "N", "at": {"seen": ""}})
    rest = people.find(sort="age", after=cursor_after(first, "age"))
    assert len(first) + len(rest) == 40
    assert not set(ids(first)) & set(ids(rest))


def test_iterate_continues_over_many_pages(store):
    many = created(store, "many", Index("odd"))
    for n in range(1203):
        many.insert({"_id": f"{n:04}", "odd": n % 2})
    assert len(list(many.iterate())) == 1203
    assert ids(many.iterate({"odd": 1})) == [f"{n:04}" for n in range(1, 1203, 2)]


def test_delete_all_deletes_every_match_and_nothing_else(store):
    many = created(store, "many", Index("until"))
    for n in range(250):
        many.insert({"_id": f"{n:04}", "until": n})
    many.delete_all({"until": {"$lt": 205}}, sort="until")
    assert ids(many.iterate()) == [f"{n:04}" for n in range(205, 250)]


def test_delete_all_keeps_a_document_that_no_longer_matches(store, monkeypatch):
    many = created(store, "many", Index("until"))
    for id in ("a", "b"):
        many.insert({"_id": id, "until": 1})
    find = many.find

    def find_and_renew(*where, **options):
        page = find(*where, **options)
        many.update("b", {"$set": {"until": 9}})
        return page

    monkeypatch.setattr(many, "find", find_and_renew)
    many.delete_all({"until": {"$lt": 5}}, sort="until")
    assert ids(many.iterate()) == ["b"]


@pytest.mark.parametrize(
    "where",
    [
        {"a": {"$regex": "."}},
        {"a": {"$gt": None}},
        {"a": None},
        {"a": {"$in": "x"}},
        {"a": {"$in": [None]}},
        {"a": {"$exists": 1}},
        {"a": [1]},
        {"a": 1.5},
        {"$or": []},
        {"a": {}},
        {"_w": 1},
        {"a": {"$all": ["x"]}},
        {"tags": "x"},
        {"tags": {"$all": [1]}},
        {"color": "red"},
    ],
)
def test_find_rejects_unsupported_filters(things, where):
    with pytest.raises(ValueError):
        things.find(where)


@pytest.mark.parametrize(
    "how",
    [
        {"limit": 0},
        {"limit": 1001},
        {"sort": "color"},
        {"sort": "tags"},
        {"after": ({}, "t")},
        {"after": (1, 5)},
        {"after": (None, "t")},
        {"after": (True, "t")},
    ],
)
def test_find_rejects_invalid_pages(things, how):
    with pytest.raises(ValueError):
        things.find(**how)
