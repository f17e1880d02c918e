"""Erasure: an erased subject leaves a tombstone and nothing else, whatever arrives late and wherever a process dies."""

import pytest

from chassis.events.envelope import Meta
from chassis.events.erasure import Subjects
from chassis.store import Collection, Index
from tests.unit.conftest import crashes

people = Subjects("people", "users", "email", "name")
letters = Collection("letters", Index("person"))


@pytest.fixture(autouse=True)
def collections(store, fake_clock):
    for collection in (people, letters):
        collection.attach(store).ensure_indexes()


def event(id, sequence):
    return Meta(f"{id}:{sequence}", "users", "user.changed", "", id, sequence)


def create(id="u1"):
    return people.set_personal(id, {"email": "a@shop.example", "name": "Ada"}, event(id, 1))


def erase(id="u1"):
    people.erase(id, event(id, 2))


def write_to(id="u1", letter="l1"):
    people.insert_about(id, letters, {"_id": letter, "person": id})


def delete_letters(id):
    for letter in letters.iterate({"person": id}):
        letters.delete(letter["_id"])
    return True


def test_erase_removes_personal_data_and_the_documents_about_it():
    assert create()
    write_to()
    erase()
    people.finish_erasures(delete_letters)
    tombstone = people.get("u1")
    assert tombstone["erased"] and not tombstone["erasurePending"]
    assert not {"email", "name"} & tombstone.keys()
    assert letters.count() == 0


def test_subject_without_personal_fields_is_erased(store):
    authors = Subjects("authors", "users")
    authors.attach(store).ensure_indexes()
    authors.erase("u1", event("u1", 2))
    assert authors.is_erased("u1")


def test_erasure_leaves_other_subjects_alone():
    create("u1")
    create("u2")
    write_to("u2", "l2")
    erase("u1")
    people.finish_erasures(delete_letters)
    assert people.get("u2")["email"] == "a@shop.example"
    assert letters.get("l2")


def test_events_that_arrive_after_the_erasure_store_nothing():
    erase()
    assert not create()
    assert not people.set_personal("u1", {"email": "b@shop.example"}, event("u1", 3))
    write_to()
    assert "email" not in people.get("u1")
    assert letters.count() == 0


def test_older_event_does_not_overwrite_a_later_one():
    people.set_personal("u1", {"email": "new@shop.example"}, event("u1", 2))
    assert create()
    assert people.get("u1")["email"] == "new@shop.example"


def test_document_of_an_unknown_subject_is_inserted_once():
    write_to()
    write_to()
    assert letters.count() == 1


def test_erasure_stays_pending_until_all_documents_are_deleted():
    erase()
    people.finish_erasures(lambda id: False)
    assert people.get("u1")["erasurePending"]
    people.finish_erasures(delete_letters)
    assert not people.get("u1")["erasurePending"]


def test_document_inserted_during_the_erasure_is_deleted(monkeypatch):
    create()
    insert = letters.insert

    def erased_first(doc):
        erase()
        people.finish_erasures(delete_letters)
        insert(doc)

    monkeypatch.setattr(letters, "insert", erased_first)
    write_to()
    assert letters.count() == 1
    people.finish_erasures(delete_letters)
    assert letters.count() == 0


def test_document_inserted_while_the_job_ends_is_deleted(monkeypatch):
    def delete_while_a_handler_inserts(id):
        delete_letters(id)
        with monkeypatch.context() as patch:
            patch.setattr(people, "is_erased", lambda id: False)  # the handler has checked before the erasure
            write_to()
        return True

    create()
    erase()
    people.finish_erasures(delete_while_a_handler_inserts)
    assert letters.count() == 1
    people.finish_erasures(delete_letters)
    assert letters.count() == 0


def test_erasure_interrupted_anywhere_is_complete_when_repeated(store):
    def buy_and_leave(id):
        create(id)
        write_to(id, f"l-{id}")
        erase(id)
        people.finish_erasures(delete_letters)

    for id in crashes(store, buy_and_leave):
        erase(id)
        write_to(id, f"l-{id}")
        people.finish_erasures(delete_letters)
        assert not {"email", "name"} & people.get(id).keys(), id
        assert letters.count({"person": id}) == 0, id


def test_insert_interrupted_after_its_write_is_undone_by_redelivery(store):
    create()
    interrupted = store.interrupts(write_to, 3, after=False)
    assert interrupted and letters.count() == 1
    erase()
    people.finish_erasures(lambda id: True)  # the job has looked before the insert
    write_to()
    people.finish_erasures(delete_letters)
    assert letters.count() == 0
