"""The export of one service: every document about a person, once, and only the named fields."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chassis import personal_data
from chassis.personal_data import ExportQuery, PersonalData, export_page
from chassis.store import Collection, Index

profiles = Collection("profiles")
notes = Collection("notes", Index("userId"))
visits = Collection("visits", Index("userId"))
EXPORTED = (
    PersonalData(profiles, "_id", "name"),
    PersonalData(notes, "userId", "text"),
    PersonalData(visits, "userId", "at"),
)


@pytest.fixture(autouse=True)
def _stored(store, monkeypatch):
    for each in EXPORTED:
        each.collection.attach(store).ensure_indexes()
    monkeypatch.setattr(personal_data, "PAGE_SIZE", 3)


def export(user):
    """Ask page by page; return (collection, document) of each."""
    found, reply = [], export_page(EXPORTED, ExportQuery(user_id=user))
    while reply.documents:
        assert len(reply.documents) <= 3
        found += [(each.collection, each.document) for each in reply.documents]
        reply = export_page(EXPORTED, ExportQuery(user_id=user, after=reply.after))
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.booleans(), st.integers(0, 8), st.integers(0, 8))
def test_every_document_is_exported_once_whatever_the_pages(has_profile, note_count, visit_count):
    for each in EXPORTED:
        for doc in each.collection.find({}):
            each.collection.delete(doc["_id"])
    expected = []
    if has_profile:
        profiles.insert({"_id": "ada", "name": "Ada", "password": "secret"})
        expected.append(("profiles", {"id": "ada", "name": "Ada"}))
    for number in range(note_count):
        notes.insert({"_id": f"n{number}", "userId": "ada", "text": "x", "outbox": ["secret"]})
        notes.insert({"_id": f"o{number}", "userId": "bob", "text": "of another"})
        expected.append(("notes", {"id": f"n{number}", "text": "x"}))
    for number in range(visit_count):
        visits.insert({"_id": f"v{number}", "userId": "ada"})
        expected.append(("visits", {"id": f"v{number}"}))
    assert export("ada") == expected


def test_nobody_has_nothing():
    assert export("nobody") == []


@pytest.mark.parametrize("after", ["x", ":", "1", "-1:a", "1:", "9999:a"])
def test_query_rejects_a_place_that_no_reply_named(after):
    with pytest.raises(ValidationError):
        ExportQuery.read({"userId": "ada", "after": after})


def test_place_behind_the_last_collection_is_empty():
    assert export_page(EXPORTED, ExportQuery(user_id="ada", after="7:a")).documents == []
