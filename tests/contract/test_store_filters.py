"""The store's contract, operator by operator: what each condition of a filter means."""

import pytest

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

BIG = 2**63 - 1
ABSENT = object()


CONDITIONS = [
    # value, condition, whether it holds
    (5, 5, True),
    (5, {"$eq": 5}, True),
    (5, 6, False),
    (5, "5", False),
    ("5", 5, False),
    (True, 1, False),
    (1, True, False),
    (0, False, False),
    (False, 0, False),
    (True, True, True),
    (False, True, False),
    ("", "", True),
    ("a", "A", False),
    ("é", "é", True),
    ("é", "e\u0301", False),
    (None, 0, False),
    (None, "", False),
    (None, False, False),
    (ABSENT, 0, False),
    (ABSENT, "", False),
    ({"b": 1}, '{"b":1}', False),
    (BIG, BIG, True),
    (BIG, BIG - 1, False),
    (-BIG - 1, -BIG - 1, True),
    (5, {"$ne": 5}, False),
    (5, {"$ne": 6}, True),
    (5, {"$ne": "5"}, True),
    (True, {"$ne": 1}, True),
    (None, {"$ne": 5}, True),
    (ABSENT, {"$ne": 5}, True),
    (5, {"$gt": 4}, True),
    (5, {"$gt": 5}, False),
    (5, {"$gte": 5}, True),
    (5, {"$lt": 5}, False),
    (5, {"$lte": 5}, True),
    (5, {"$lt": "a"}, False),
    ("a", {"$gt": 5}, False),
    ("10", {"$gt": 9}, False),
    (True, {"$gt": 0}, False),
    (True, {"$gte": 1}, False),
    (True, {"$gt": False}, True),
    (False, {"$gte": False}, True),
    (False, {"$lt": 1}, False),
    (1, {"$gt": False}, False),
    (None, {"$lt": 5}, False),
    (None, {"$gte": 0}, False),
    (ABSENT, {"$lt": 5}, False),
    (ABSENT, {"$lte": "z"}, False),
    (BIG, {"$gt": BIG - 1}, True),
    ("B", {"$lt": "a"}, True),
    ("Z", {"$lt": "é"}, True),
    ("\uffff", {"$lt": "\U00010000"}, True),  # by code point, not by UTF-16 unit
    ("ab", {"$gt": "a"}, True),
    ({"b": 1}, {"$gt": "a"}, False),
    (5, {"$gte": 1, "$lt": 6}, True),
    (5, {"$gte": 1, "$lt": 5}, False),
    (5, {"$in": [4, 5]}, True),
    (5, {"$in": ["5", True]}, False),
    (1, {"$in": [True]}, False),
    (True, {"$in": [1, "true"]}, False),
    (True, {"$in": ["x", True]}, True),
    ("x", {"$in": [5, "x"]}, True),
    (5, {"$in": []}, False),
    (ABSENT, {"$in": [5]}, False),
    (5, {"$exists": True}, True),
    (None, {"$exists": True}, True),
    (None, {"$exists": False}, False),
    (ABSENT, {"$exists": True}, False),
    (ABSENT, {"$exists": False}, True),
]


def holding(value, id="t"):
    return {"_id": id} if value is ABSENT else {"_id": id, "a": value}


@pytest.mark.parametrize(("value", "condition", "holds"), CONDITIONS)
def test_condition_means_the_same_in_find_update_and_delete(things, value, condition, holds):
    things.insert(holding(value))
    assert len(things.find({"a": condition})) == holds
    assert (things.update("t", {"$set": {"mark": 1}}, when={"a": condition}) is not None) == holds
    assert ("mark" in things.get("t")) == holds
    assert things.delete("t", when={"a": condition}) == holds


@pytest.mark.parametrize(("value", "condition", "holds"), CONDITIONS)
def test_condition_means_the_same_in_a_nested_document(things, value, condition, holds):
    things.insert({"_id": "t", "deep": {} if value is ABSENT else {"er": value}})
    assert len(things.find({"deep.er": condition})) == holds
    assert things.delete("t", when={"deep.er": condition}) == holds


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (5, True),
        ("x", True),
        (6, False),
        (True, False),
        ([], None),
        ({"$ne": 5}, False),
        ({"$ne": 6}, True),
        ({"$gt": 4}, True),
        ({"$gt": 5}, False),
        ({"$gt": "a", "$lt": 6}, True),
        ({"$in": [6, "x"]}, True),
        ({"$in": [6, 7]}, False),
        ({"$all": ["x", "y"]}, True),
        ({"$all": ["x", "z"]}, False),
        ({"$exists": True}, True),
    ],
)
def test_condition_on_a_list_holds_if_it_holds_for_an_item(plain, condition, holds):
    plain.insert({"_id": "t", "a": [5, "x", "y", [6, "z"]]})
    if holds is None:
        with pytest.raises(ValueError):
            plain.delete("t", when={"a": condition})
    else:
        assert plain.delete("t", when={"a": condition}) == holds


@pytest.mark.parametrize(
    ("path", "condition", "holds"),
    [
        ("a.b", 1, False),
        ("a.b", {"$gte": 1}, False),
        ("a.b", {"$in": [1]}, False),
        ("a.b", {"$exists": True}, False),
        ("a.b", {"$exists": False}, True),
        ("a.b", {"$ne": 1}, True),
        ("a.b", {"$ne": 1, "$exists": True}, False),
        ("a.0", {"$exists": False}, True),
        ("a.0.b", 1, False),
        ("c.d", 1, True),
        ("c.d", {"$ne": 1}, False),
        ("c.d", {"$exists": False}, False),
    ],
)
def test_path_never_crosses_a_list(plain, path, condition, holds):
    plain.insert({"_id": "t", "a": [{"b": 1}], "c": {"d": 1}})
    assert (plain.update("t", {"$set": {"mark": 1}}, when={path: condition}) is not None) == holds
    assert plain.delete("t", when={path: condition}) == holds


def test_path_through_a_scalar_finds_nothing(things):
    things.insert({"_id": "t", "deep": 5})
    assert things.find({"deep.er": {"$exists": True}}) == []
    assert things.find({"deep.er": {"$exists": False}}) == [things.get("t")]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("b", ["b"]),
        ({"$gt": "a"}, ["b", "c"]),
        ({"$in": ["a", "c", 5]}, ["a", "c"]),
        ({"$ne": "a"}, ["b", "c"]),
        (5, []),
    ],
)
def test_find_searches_ids_like_any_other_field(things, condition, found):
    for id in "abc":
        things.insert({"_id": id})
    assert [doc["_id"] for doc in things.find({"_id": condition})] == found


def test_all_finds_documents_whose_list_has_every_value(things):
    things.insert({"_id": "1", "tags": ["red", "warm", "red"]})
    things.insert({"_id": "2", "tags": ["red", "é"]})
    things.insert({"_id": "3", "tags": []})
    things.insert({"_id": "4"})

    def found(*words):
        return [doc["_id"] for doc in things.find({"tags": {"$all": list(words)}})]

    assert found("red") == ["1", "2"]
    assert found("red", "warm") == ["1"]
    assert found("é") == ["2"]
    assert found("RED") == found() == found("red", "cold") == []
    things.update("1", {"$pull": {"tags": "red"}})
    things.update("3", {"$push": {"tags": "red"}})
    things.delete("2")
    assert found("red") == ["3"]
    things.update("3", {"$unset": {"tags": ""}})
    assert found("red") == []
    assert things.update("1", {"$set": {"mark": 1}}, when={"tags": {"$all": ["warm"]}})
    assert things.update("1", {"$set": {"mark": 2}}, when={"tags": {"$all": ["warm", "red"]}}) is None
