"""The store's contract: which documents it stores, and that it returns them unchanged."""

import pytest

from chassis.store import Duplicate

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

BIG = 2**63 - 1


def test_document_is_returned_unchanged(plain):
    text = "\u2028\U0001f600\t\n\x7f\x01'\"\\"
    doc = {"_id": "ключ/1", "z": None, "a": [True, False, 0, -BIG - 1, "", text], "b": {"x y": {}, "é": []}}
    plain.insert(doc)
    assert repr(plain.get("ключ/1")) == repr(doc)
    assert {type(item) for item in plain.get("ключ/1")["a"]} == {bool, int, str}, "and no kin of theirs"
    assert repr(plain.find()) == repr([doc])
    assert repr(plain.update("ключ/1", {"$set": {"b": doc["b"]}})) == repr(doc)


def test_document_has_at_most_100_levels(plain):
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


def test_insert_and_update_reject_more_than_16_mib(plain):
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


def test_insert_rejects_second_document_with_same_id(things):
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
def test_insert_rejects_what_an_engine_cannot_store(things, doc):
    with pytest.raises((ValueError, TypeError)):
        things.insert(doc)
    assert things.find() == []
