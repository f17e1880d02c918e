"""The store's contract: what each update operator does, what is rejected, and what comes back."""

import pytest
from collections_under_test import created

from chassis.store import Index, UpdateOne

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

BIG = 2**63 - 1


UPDATES = [
    # document before, update, document after (without _id)
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


@pytest.mark.parametrize(("before", "update", "after"), UPDATES)
def test_update_returns_and_stores_the_new_document(plain, before, update, after):
    plain.insert({"_id": "t", **before})
    returned = plain.update("t", update)
    assert repr(plain.get("t")) == repr({"_id": "t", **after})  # repr: True is not 1
    assert returned == plain.get("t")


@pytest.mark.parametrize(
    ("before", "update"),
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
def test_update_that_does_not_fit_changes_nothing(plain, before, update):
    plain.insert({"_id": "t", **before})
    with pytest.raises(ValueError):
        plain.update("t", {"$set": {"other": 1}, **update} if "$set" not in update else update)
    assert plain.get("t") == {"_id": "t", **before}
    assert plain.update("t", update, when={"a": "not this"}) is None
    assert plain.update("no", update) is None


def test_bulk_update_applies_each_update_on_its_own(store):
    docs = created(store, "docs", Index("email", unique=True))
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


def test_update_returns_a_copy(plain):
    plain.insert({"_id": "t"})
    mine = ["x"]
    plain.update("t", {"$set": {"a": mine}})["a"].append("y")
    assert mine == ["x"]
    assert plain.get("t")["a"] == ["x"]


def test_update_and_delete_of_missing_document_do_nothing(things):
    assert things.update("no", {"$set": {"a": 1}}) is None
    assert things.update("no", {"$set": {"a": 1}}, when={"a": {"$exists": False}}) is None
    assert things.delete("no") is False
    assert things.get("no") is None


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"$rename": {"a": "b"}},
        {"$set": {"_id": "u"}},
        {"$set": {"a": 1}, "$inc": {"a": 1}},
        {"$set": {"a": 1, "a.b": 1}},
        {"$set": {"b.c.d": 1}, "$unset": {"b": True}},
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
def test_update_rejects_unknown_and_contradictory_operators(things, update):
    things.insert({"_id": "t", "a": 1})
    with pytest.raises((ValueError, TypeError, AttributeError)):
        things.update("t", update)
    assert things.get("t") == {"_id": "t", "a": 1}
