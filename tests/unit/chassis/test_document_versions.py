"""Which versions a collection may declare, and what an upcaster may return."""

import pytest

from chassis.store import Collection, Index, Version


@pytest.mark.parametrize(
    ("indexes", "versions"),
    [
        ((Index("a", unique=True),), (Version(defaults={"a": 1}),)),
        ((Index("a", partial={"a": True}),), (Version(defaults={"a": True}),)),
        ((Index("b", partial={"a": {"$exists": True}}),), (Version(defaults={"a": 1}),)),
        ((Index("a.b"),), (Version(defaults={"a": {"b": 1}}),)),
        ((Index("a"),), (Version(defaults={"a": None}),)),
        ((Index("a"),), (Version(defaults={"a": []}),)),
        ((Index("a", multikey=True),), (Version(defaults={"a": ["x"]}),)),
        ((), (Version(defaults={"a.b": 1}),)),
        ((), (Version(defaults={"a": 1.5}),)),
        ((), (Version(defaults={"a": 1}), Version(sort_keys=("a",)))),
        ((), (Version(defaults={"a": ""}, sort_keys=("a",)),)),
    ],
)
def test_collection_rejects_versions_that_an_engine_cannot_search(indexes, versions):
    with pytest.raises((ValueError, TypeError)):
        Collection("docs", *indexes, versions=versions)


def test_later_version_is_computed_from_the_one_before():
    docs = Collection(
        "docs",
        versions=(
            Version(defaults={"a": 1}),
            Version(defaults={"b": 0}, upcast=lambda doc: {"b": doc["a"] + 1}),
        ),
    )
    assert docs.versions.upcast({"_id": "x"}) == {"_id": "x", "a": 1, "b": 2}
    assert docs.versions.upcast({"_id": "x", "a": 5, "_v": 1}) == {"_id": "x", "a": 5, "b": 6}
    assert docs.changes({"_id": "x", "a": 5, "_v": 1}) == {"b": 6, "_v": 2}
    assert docs.changes({"_id": "x", "a": 5, "b": 6, "_v": 2}) == {}


def test_documents_do_not_share_a_default():
    docs = Collection("docs", versions=(Version(defaults={"note": {}}),))
    docs.versions.upcast({"_id": "x"})["note"]["seen"] = True
    assert docs.versions.upcast({"_id": "y"}) == {"_id": "y", "note": {}}
    assert docs.changes({"_id": "y"})["note"] == {}


@pytest.mark.parametrize("returned", [{"b": 1}, {"a": None}, {"a": "x"}, {"a": 2**63}])
def test_upcaster_returns_declared_fields_that_the_index_holds(returned):
    docs = Collection("docs", Index("a"), versions=(Version(defaults={"a": 1}, upcast=lambda doc: returned),))
    with pytest.raises(ValueError):
        docs.changes({"_id": "x"})


def test_tags_may_be_a_new_list_that_is_searched_by_its_items(store):
    old = Collection("docs").attach(store)
    docs = Collection("docs", Index("tags", multikey=True), versions=(Version(defaults={"tags": []}),)).attach(store)
    docs.ensure_indexes()
    old.insert({"_id": "1"})
    docs.insert({"_id": "2", "tags": ["x"]})
    assert [doc["_id"] for doc in docs.find({"tags": {"$all": ["x"]}})] == ["2"]
    assert docs.update("1", {"$push": {"tags": "x"}}) == {"_id": "1", "tags": ["x"]}
    assert [doc["_id"] for doc in docs.find({"tags": {"$all": ["x"]}})] == ["1", "2"]
