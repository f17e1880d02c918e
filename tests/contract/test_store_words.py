"""The store's contract, word by word: what each guard and change means, and what is refused."""

import pytest

from chassis.store import Collection, Duplicate, Index

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

BIG = 2**63 - 1
ABSENT = object()

GUARDS = [
    # what is there, the condition, whether it holds
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


@pytest.fixture
def things(store):
    things = Collection("things", Index("a"), Index("deep.er"), Index("tags", multikey=True))
    things.attach(store).ensure_indexes()
    return things


@pytest.fixture
def plain(store):
    """Documents without an index, which may hold a list anywhere."""
    plain = Collection("plain")
    plain.attach(store).ensure_indexes()
    return plain


def holding(value, id="t"):
    return {"_id": id} if value is ABSENT else {"_id": id, "a": value}


@pytest.mark.parametrize(("value", "condition", "holds"), GUARDS)
def test_a_guard_and_a_search_agree_on_what_a_condition_means(things, value, condition, holds):
    things.insert(holding(value))
    assert len(things.find({"a": condition})) == holds
    assert (things.update("t", {"$set": {"mark": 1}}, when={"a": condition}) is not None) == holds
    assert ("mark" in things.get("t")) == holds
    assert things.delete("t", when={"a": condition}) == holds


@pytest.mark.parametrize(("value", "condition", "holds"), GUARDS)
def test_a_condition_means_the_same_inside_a_document(things, value, condition, holds):
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
def test_a_guard_on_a_list_holds_if_it_does_for_one_in_it(plain, condition, holds):
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
def test_a_path_never_crosses_a_list(plain, path, condition, holds):
    plain.insert({"_id": "t", "a": [{"b": 1}], "c": {"d": 1}})
    assert (plain.update("t", {"$set": {"mark": 1}}, when={path: condition}) is not None) == holds
    assert plain.delete("t", when={path: condition}) == holds


def test_a_path_through_a_scalar_leads_nowhere(things):
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
def test_ids_are_found_like_any_other_field(things, condition, found):
    for id in "abc":
        things.insert({"_id": id})
    assert [doc["_id"] for doc in things.find({"_id": condition})] == found


def test_all_finds_documents_whose_list_has_every_word(things):
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


CHANGES = [
    # before, the change, after (but for _id)
    ({}, {"$set": {"a": 1}}, {"a": 1}),
    ({"a": 1}, {"$set": {"a": None}}, {"a": None}),
    ({}, {"$set": {"a.b.c": 1}}, {"a": {"b": {"c": 1}}}),
    ({"a": {"x": 1}}, {"$set": {"a.b": 1}}, {"a": {"x": 1, "b": 1}}),
    ({"a": {"x": 1}}, {"$set": {"a": {"b": 1}}}, {"a": {"b": 1}}),
    ({"a": [1]}, {"$set": {"a": [[], {}]}}, {"a": [[], {}]}),
    ({"a": 1, "b": 2}, {"$unset": {"a": ""}}, {"b": 2}),
    ({}, {"$unset": {"a": "", "b.c": ""}}, {}),
    ({"a": 5}, {"$unset": {"a.b": ""}}, {"a": 5}),
    ({"a": {"b": 1}}, {"$unset": {"a.b": ""}}, {"a": {}}),
    ({"a": 1}, {"$inc": {"a": 2}}, {"a": 3}),
    ({"a": 1}, {"$inc": {"a": -2}}, {"a": -1}),
    ({}, {"$inc": {"a": 2, "b.c": -1}}, {"a": 2, "b": {"c": -1}}),
    ({"a": BIG - 1}, {"$inc": {"a": 1}}, {"a": BIG}),
    ({"a": 2**31 - 1}, {"$inc": {"a": 1}}, {"a": 2**31}),
    ({"a": [1]}, {"$push": {"a": 2}}, {"a": [1, 2]}),
    ({"a": [1]}, {"$push": {"a": [2]}}, {"a": [1, [2]]}),
    ({}, {"$push": {"a": {"x": 1}}}, {"a": [{"x": 1}]}),
    ({}, {"$push": {"a.b": 1}}, {"a": {"b": [1]}}),
    ({"a": [1, 2, 1]}, {"$pull": {"a": 1}}, {"a": [2]}),
    ({"a": [1, True, "1", None]}, {"$pull": {"a": 1}}, {"a": [True, "1", None]}),
    ({"a": [1, True]}, {"$pull": {"a": True}}, {"a": [1]}),
    ({"a": [1, None]}, {"$pull": {"a": None}}, {"a": [1]}),
    ({"a": ["x", ["x"]]}, {"$pull": {"a": ["x"]}}, {"a": ["x"]}),
    ({"a": ["x", ["x"]]}, {"$pull": {"a": "x"}}, {"a": [["x"]]}),
    (
        {"a": [{"n": 1}, {"n": 2}, {"n": "1"}, {}, 1]},
        {"$pull": {"a": {"n": {"$lte": 1}}}},
        {"a": [{"n": 2}, {"n": "1"}, {}, 1]},
    ),
    ({"a": [{"n": 1, "m": 1}, {"n": 1}]}, {"$pull": {"a": {"n": 1, "m": {"$gte": 1}}}}, {"a": [{"n": 1}]}),
    ({}, {"$pull": {"a": 1}}, {}),
    ({"a": [1]}, {"$pull": {"a": 2}}, {"a": [1]}),
    (
        {"a": 1, "b": {"c": 1, "d": [1]}},
        {"$inc": {"a": 1, "b.c": 1}, "$push": {"b.d": 2}, "$set": {"b.e": 1}, "$unset": {"f": ""}},
        {"a": 2, "b": {"c": 2, "d": [1, 2], "e": 1}},
    ),
]


@pytest.mark.parametrize(("before", "change", "after"), CHANGES)
def test_a_change_does_what_its_word_says(plain, before, change, after):
    plain.insert({"_id": "t", **before})
    answered = plain.update("t", change)
    assert repr(plain.get("t")) == repr({"_id": "t", **after})  # repr: True is not 1
    assert answered == plain.get("t")


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({"a": 1}, {"$set": {"a.b": 1}}),
        ({"a": None}, {"$set": {"a.b": 1}}),
        ({"a": [{"b": 1}]}, {"$set": {"a.b": 1}}),
        ({"a": [1, 2]}, {"$set": {"a.0": 3}}),
        ({"a": [1, 2]}, {"$set": {"a.5": 3}}),
        ({"a": [{"b": 1}]}, {"$set": {"a.0.b": 3}}),
        ({"a": [1, 2]}, {"$inc": {"a.0": 3}}),
        ({"a": [[1]]}, {"$push": {"a.0": 3}}),
        ({"a": [1, 2]}, {"$unset": {"a.0": ""}}),
        ({"a": [{"b": 1}]}, {"$unset": {"a.b": ""}}),
        ({"a": {"b": True}}, {"$inc": {"a.b": 1}}),
        ({"a": "x"}, {"$inc": {"a.b": 1}}),
        ({"a": "1"}, {"$inc": {"a": 1}}),
        ({"a": True}, {"$inc": {"a": 1}}),
        ({"a": None}, {"$inc": {"a": 1}}),
        ({"a": BIG}, {"$inc": {"a": 1}}),
        ({"a": -BIG}, {"$inc": {"a": -2}}),
        ({"a": "x"}, {"$push": {"a": 1}}),
        ({"a": None}, {"$push": {"a": 1}}),
        ({"a": 1}, {"$pull": {"a": 1}}),
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_changes_nothing(plain, before, change):
    plain.insert({"_id": "t", **before})
    with pytest.raises(ValueError):
        plain.update("t", {"$set": {"other": 1}, **change} if "$set" not in change else change)
    assert plain.get("t") == {"_id": "t", **before}
    assert plain.update("t", change, when={"a": "not this"}) is None
    assert plain.update("no", change) is None


def test_what_was_stored_comes_back_as_it_was(plain):
    text = "\u2028\U0001f600\t\n\x7f\x01'\"\\"
    doc = {"_id": "ключ/1", "z": None, "a": [True, False, 0, -BIG - 1, "", text], "b": {"x y": {}, "é": []}}
    plain.insert(doc)
    assert repr(plain.get("ключ/1")) == repr(doc)
    assert {type(item) for item in plain.get("ключ/1")["a"]} == {bool, int, str}, "and no kin of theirs"
    assert repr(plain.find()) == repr([doc])
    assert repr(plain.update("ключ/1", {"$set": {"b": doc["b"]}})) == repr(doc)


def test_a_document_is_kept_up_to_100_levels_deep_and_refused_beyond(plain):
    deep = "x"
    for _ in range(50):
        deep = {"n": deep}
    path = ".".join("n" * 50)
    plain.insert({"_id": "t"} | deep)
    assert plain.update("t", {"$set": {path: deep}}) == {"_id": "t"} | plain.get("t")
    with pytest.raises(ValueError):
        plain.update("t", {"$set": {"m": {"n": deep}}})
    with pytest.raises(ValueError):
        plain.update("t", {"$set": {f"m.{path}": 1}})


def test_a_document_has_at_most_16_mib_when_it_is_made_and_when_it_has_grown(plain):
    half = "x" * (9 * 1024 * 1024)
    with pytest.raises(ValueError):
        plain.insert({"_id": "big", "a": half, "b": half})
    assert plain.get("big") is None
    plain.insert({"_id": "t", "a": [half]})
    with pytest.raises(ValueError):
        plain.update("t", {"$push": {"a": half}})
    with pytest.raises(ValueError):
        plain.update("t", {"$set": {"b": half + half}})
    assert plain.get("t") == {"_id": "t", "a": [half]}


def test_what_an_update_answers_is_not_the_callers_own_object(plain):
    plain.insert({"_id": "t"})
    mine = ["x"]
    plain.update("t", {"$set": {"a": mine}})["a"].append("y")
    assert mine == ["x"]
    assert plain.get("t")["a"] == ["x"]


def test_nothing_is_changed_or_made_where_there_is_no_such_document(things):
    assert things.update("no", {"$set": {"a": 1}}) is None
    assert things.update("no", {"$set": {"a": 1}}, when={"a": {"$exists": False}}) is None
    assert things.delete("no") is False
    assert things.get("no") is None


def test_a_second_document_with_the_same_id_is_a_duplicate(things):
    things.insert({"_id": "t", "a": 1})
    with pytest.raises(Duplicate) as caught:
        things.insert({"_id": "t", "a": 2})
    assert caught.value.field == "_id"
    assert things.get("t")["a"] == 1


@pytest.mark.parametrize(
    "doc",
    [
        {},
        {"_id": 5},
        {"_id": "t", "a": 1.5},
        {"_id": "t", "a": 2**63},
        {"_id": "t", "a": -(2**63) - 1},
        {"_id": "t", "a": b"x"},
        {"_id": "t", "a": (1,)},
        {"_id": "t", "a.b": 1},
        {"_id": "t", "$a": 1},
        {"_id": "t", "": 1},
        {"_id": "t", 5: 1},
        {"_id": "t", "a": {"b": [{"$c": 1}]}},
        {"_id": "t", "a": "a\x00b"},
        {"_id": "t", "a": "\ud800"},
        {"_id": "t", "_w": 1},
        {"_id": "t", "a": ["x"]},
        {"_id": "t", "deep": [{"er": 1}]},
        {"_id": "t", "deep": {"er": [1]}},
    ],
)
def test_a_document_that_not_every_engine_can_keep_is_refused(things, doc):
    with pytest.raises((ValueError, TypeError)):
        things.insert(doc)
    assert things.find() == []


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"$rename": {"a": "b"}},
        {"$set": {"_id": "u"}},
        {"$set": {"a": 1}, "$inc": {"a": 1}},
        {"$set": {"a": 1, "a.b": 1}},
        {"$set": {"$a": 1}},
        {"$set": {"a..b": 1}},
        {"$inc": {"a": True}},
        {"$inc": {"a": 1.0}},
        {"$set": {"a": 1.5}},
        {"$pull": {"a": {"$lte": 1}}},
        {"$pull": {"a": {"b": {"$regex": "x"}}}},
        {"$pull": {"x": {}}},
        {"$pull": {"x": {"b.c": 1}}},
        {"$pull": {"x.y": 1}},
        {"$push": {"x": 1}, "$pull": {"x": 2}},
        {"$set": {"_w": 1}},
        {"$set": {"_w.x": 1}},
        {"$unset": {"_id.x": 1}},
        {"$set": {"a": []}},
        {"$push": {"a": 1}},
        {"$pull": {"a": 1}},
        {"$push": {"deep": 1}},
        {"$set": {"deep": [1]}},
        {"$set": {"deep": {"er": [1]}}},
        {"a": 1},
    ],
)
def test_an_unknown_or_contradictory_change_is_refused(things, change):
    things.insert({"_id": "t", "a": 1})
    with pytest.raises((ValueError, TypeError, AttributeError)):
        things.update("t", change)
    assert things.get("t") == {"_id": "t", "a": 1}


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
def test_a_search_that_no_index_or_engine_answers_is_refused(things, where):
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
def test_a_page_that_cannot_be_is_refused(things, how):
    with pytest.raises(ValueError):
        things.find(**how)
