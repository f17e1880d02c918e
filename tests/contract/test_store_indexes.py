"""The store's contract: unique, partial and multikey indexes, and how they change."""

import pytest
from collections_under_test import created, ids

from chassis.store import Duplicate, Index

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)


def test_unique_index_rejects_duplicate_on_insert_and_update(store):
    users = created(store, "users", Index("email", unique=True))
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


def test_duplicate_names_id_before_a_unique_field(store):
    users = created(store, "users", Index("email", unique=True))
    users.insert({"_id": "1", "email": "a@x"})
    with pytest.raises(Duplicate) as caught:
        users.insert({"_id": "1", "email": "a@x"})
    assert caught.value.field == "_id"


def test_unique_index_over_two_fields_rejects_only_the_pair(store):
    steps = created(store, "steps", Index("order", "step", unique=True))
    steps.insert({"_id": "1", "order": "o", "step": 1})
    steps.insert({"_id": "2", "order": "o", "step": 2})
    steps.insert({"_id": "3", "order": "p", "step": 1})
    steps.insert({"_id": "4", "order": "o", "step": "1"})
    with pytest.raises(Duplicate) as caught:
        steps.insert({"_id": "5", "order": "o", "step": 1})
    assert caught.value.field == "order"


@pytest.mark.parametrize("email", [{}, {"email": None}, {"email": True}, {"email": ["a@x"]}, {"email": {"a": "x"}}])
def test_field_of_unique_index_must_be_a_scalar(store, email):
    users = created(store, "users", Index("email", unique=True))
    with pytest.raises(ValueError):
        users.insert({"_id": "1", **email})
    users.insert({"_id": "2", "email": "b@x"})
    with pytest.raises(ValueError):
        users.update("2", {"$set": email} if email else {"$unset": {"email": ""}})
    assert users.find() == [{"_id": "2", "email": "b@x"}]


def test_partial_unique_index_rejects_only_covered_documents(store):
    carts = created(store, "carts", Index("user", unique=True, partial={"open": True}))
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


def test_unset_removes_document_from_partial_unique_index(store):
    users = created(store, "users", Index("email", unique=True, partial={"email": {"$exists": True}}))
    for id in "12":
        users.insert({"_id": id, "email": f"{id}@x"})
        assert users.update(id, {"$unset": {"email": ""}, "$set": {"erased": True}})
    users.insert({"_id": "3", "email": "1@x"})


def test_partial_index_finds_covered_documents(store):
    boxes = created(store, "boxes", Index("pending", partial={"pending": {"$gt": 0}}))
    for n in range(10):
        boxes.insert({"_id": str(n), "pending": n % 3})
    boxes.update("1", {"$inc": {"pending": -1}})
    assert ids(boxes.find({"pending": {"$gt": 0}})) == ["2", "4", "5", "7", "8"]
    assert ids(boxes.find({"pending": {"$gt": 1}})) == ["2", "5", "8"]
    assert ids(boxes.find({"pending": 0})) == ["0", "1", "3", "6", "9"]


def test_index_added_later_covers_existing_documents(store):
    created(store, "docs").insert({"_id": "1", "a": 1, "words": ["x", "y"]})
    docs = created(store, "docs", Index("a", unique=True), Index("words", multikey=True))
    assert ids(docs.find({"a": 1})) == ids(docs.find({"words": {"$all": ["y"]}})) == ["1"]
    with pytest.raises(Duplicate):
        docs.insert({"_id": "2", "a": 1})


def test_undeclared_index_is_dropped_and_can_return(store):
    indexes = Index("email", unique=True), Index("words", multikey=True)
    created(store, "docs", *indexes).insert({"_id": "1", "email": "a@x", "words": ["x"]})
    docs = created(store, "docs")
    docs.insert({"_id": "2", "email": "a@x", "words": ["x"]})
    docs.update("1", {"$set": {"words": ["y"], "email": "b@x"}})
    docs = created(store, "docs", *indexes)
    assert ids(docs.find({"words": {"$all": ["x"]}})) == ["2"]
    with pytest.raises(Duplicate):
        docs.insert({"_id": "3", "email": "b@x"})


def test_index_with_changed_declaration_is_rebuilt(store):
    first = created(store, "docs", Index("a", partial={"a": {"$gt": 5}}, unique=True), Index("b"), Index("c"))
    for n in range(10):
        first.insert({"_id": str(n), "a": n, "b": 1, "c": n})
    partial = Index("a", partial={"a": {"$gt": 8}}, unique=True)
    docs = created(store, "docs", partial, Index("b", "c"), Index("c", unique=True))
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
