"""Dead letters: whatever a record and an error hold, the dead letter is stored, and is the same record again."""

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.bus import MAX_RECORD_BYTES, Record, size_bytes
from chassis.events import dead_letters
from chassis.events.dead_letters import MAX_STORED_BYTES, DeadLetterForwarder
from chassis.events.envelope import Meta
from tests.unit.events.counters import TOPIC

anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
records = st.builds(
    Record,
    topic=st.just(TOPIC),
    key=anything,
    value=st.binary(max_size=50),
    headers=st.dictionaries(anything, anything, max_size=5),
    partition=st.just(0),
    offset=st.integers(0, 10**6),
    time=st.just(""),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=records, reason=anything)
def test_any_record_is_stored_and_read_back_unchanged(bound, record, reason):
    for left in [*dead_letters.collection.iterate()]:  # by an example that failed
        dead_letters.collection.delete(left["_id"])
    dead_letters.park(record, None, reason, "", 1, blocks=True)
    (dead_letter,) = dead_letters.of_key(TOPIC, record.key)
    assert dead_letters.to_record(dead_letter) == record
    assert (TOPIC, dead_letters.stored_text(record.key)) in dead_letters.parked_keys()
    (pending,) = DeadLetterForwarder("totals").pending(range(16), 10)
    assert pending.failure is None and size_bytes(pending.events[0][1]) <= MAX_RECORD_BYTES
    dead_letters.discard(dead_letter, reason)
    assert dead_letters.collection.count() == 0


def test_record_that_no_store_takes_is_parked_by_its_place(bound):
    record = Record(TOPIC, "k" * 10_000, b"x" * MAX_STORED_BYTES, {"ce_type": "counter.counted"}, 1, 7)
    dead_letters.park(record, None, "unreadable", "", 1, blocks=False)
    (dead_letter,) = dead_letters.collection.iterate()
    assert (dead_letter["partition"], dead_letter["offset"], dead_letter["value"]) == (1, 7, "")
    assert dead_letter["reason"].startswith("unreadable (a record of 1")


@pytest.mark.parametrize("text", ["\0", "\ud800", "\N{SNOWMAN}", "x"])
def test_largest_record_that_is_stored_fits_into_a_document(bound, text):
    record = Record(TOPIC, "k", b"", {"ce_type": "counter.counted", "ce_subject": ""}, 1, 7)
    subject = text * ((MAX_STORED_BYTES - size_bytes(record)) // len(text.encode(errors="replace")))
    meta = Meta("c1:1", "counters", "counter.counted", "2026-11-30T11:00:00.000Z", subject, 1)
    dead_letters.park(record._replace(headers={"ce_subject": subject}), meta, "", "", 1, blocks=False)
    (dead_letter,) = dead_letters.collection.iterate()
    assert dead_letters.to_record(dead_letter).headers == {"ce_subject": subject}


def test_dead_letter_of_an_earlier_release_is_read(bound):
    dead_letter = {
        "_id": f"{TOPIC}:c1:1",
        "topic": TOPIC,
        "partition": 0,
        "offset": 3,
        "key": "c1",
        "value": base64.b64encode(b"{}").decode(),
        "headers": {"ce_id": "c1:1"},
    }
    assert dead_letters.to_record(dead_letter) == Record(TOPIC, "c1", b"{}", {"ce_id": "c1:1"}, 0, 3)


def test_two_records_with_the_id_of_one_event_are_both_kept(bound):
    meta = Meta("c1:1", "counters", "counter.counted", "2026-11-30T11:00:00.000Z", "c1", 1)
    for offset, value in ((3, b"one"), (4, b"other"), (3, b"one"), (4, b"other"), (9, b"one")):
        dead_letters.park(Record(TOPIC, "c1", value, {}, 0, offset), meta, "failed", "", 3, blocks=True)
    found = [(doc["offset"], dead_letters.to_record(doc).value) for doc in dead_letters.of_key(TOPIC, "c1")]
    assert found == [(3, b"one"), (4, b"other")], "the third is a redelivery, the last was published again"
