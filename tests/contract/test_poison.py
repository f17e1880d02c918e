"""Poison on two topics, over both engines: every record is handled or parked, and the consumer goes on."""

from contextlib import closing

import kafka
import pytest
from ports import KafkaEngine

from chassis import clock
from chassis.bus import MAX_RECORD_BYTES
from chassis.events import dead_letters, inbox, set_aside
from chassis.events.batch_progress import progress
from chassis.events.consumer import Consumer
from chassis.events.dead_letters import DeadLetterForwarder
from chassis.events.relay import Relay
from chassis.store import Collection, merge_updates
from chassis.store.sqlite.store import SqliteStore
from chassis.testing import capture_logs
from tests.poison import HANDLER_ERRORS, POISON
from tests.unit.events.counters import Counted

pytestmark = [pytest.mark.parametrize("engine", ["sqlite", "kafka"], indirect=True)]

TOPICS = ("one", "two")
totals, leases = Collection("totals"), Collection("leases")


@pytest.fixture(autouse=True)
def store(tmp_path):
    engine = SqliteStore(tmp_path / "totals.db")
    chassis = leases, dead_letters.collection, dead_letters.discarded, progress, set_aside.entries
    for collection in (totals, *chassis):
        collection.attach(engine).ensure_indexes()
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def patient(fake_clock, monkeypatch):
    """Wait between the attempts of a handler on the fake clock alone, for a bus needs the real one."""
    clock.use(clock.Clock())
    monkeypatch.setattr("chassis.events.handlers.clock.sleep", lambda seconds: None)


def publish(engine, topics, records):
    """Publish as a foreign publisher does, which knows no limit of ours."""
    if not isinstance(engine, KafkaEngine):
        topics.publish(records)
        return
    limits = {"max_request_size": 2_000_000, "acks": "all"}
    with closing(kafka.KafkaProducer(bootstrap_servers=engine.servers, **limits)) as producer:
        for record in records:
            headers = [(name, text.encode()) for name, text in record.headers.items()]
            producer.send(record.topic, record.value or None, record.key.encode(), headers).get(30)


def count(event, meta):
    if error := HANDLER_ERRORS.get(event.counter):
        raise error
    if totals.get(meta.subject) is None:
        totals.insert({"_id": meta.subject, "sum": 0, **inbox.new_inbox("counters")})
    update = merge_updates({"$inc": {"sum": event.step}}, inbox.mark_applied(meta))
    totals.update(meta.subject, update, when=inbox.not_applied(meta))


def good(topics, topic, key):
    headers = {
        "ce_id": f"{key}:1",
        "ce_source": "counters",
        "ce_type": "counter.counted",
        "ce_time": clock.timestamp(),
        "ce_subject": key,
        "ce_sequence": "1",
    }
    return topics.record(key, b'{"counter":"%s","step":1}' % key.encode(), headers, topic)


def test_every_kind_of_poison_is_handled_or_parked(engine, topics):
    topics.create(one=2, two=2, dead=1)
    records, poison, keys = [], [], []
    for topic in TOPICS:
        for position, each in enumerate(POISON):
            key = each.record_key(position) + (f"-{topic}" if not each.key else "")
            headers = {
                name: text.replace(each.record_key(position), key)
                for name, text in each.record_headers(position).items()
            }
            value = each.record_value(position)
            poison.append((topics.full_name(topic), key, each))
            keys.append(f"good-{topic}-{position}")
            records += [topics.record(key, value, headers, topic), good(topics, topic, keys[-1])]
    publish(engine, topics, records)
    member = topics.member("totals", TOPICS)
    consumer = Consumer(member, {Counted: count})
    with capture_logs() as lines:
        handled = 0
        while handled < len(records):
            handled += consumer.step(wait_s=0.2)  # that raises nothing: no job restarts
    assert handled == len(records), "no record is polled twice"
    assert set(member.lag().values()) == {0}
    assert [key for key in keys if (totals.get(key) or {}).get("sum") != 1] == []
    parked = {(doc["topic"], dead_letters.to_record(doc).key): doc for doc in dead_letters.collection.iterate()}
    outcomes = {
        (topic, key, each.name): "parked" if (topic, key) in parked else "handled" for topic, key, each in poison
    }
    assert outcomes == {(topic, key, each.name): each.outcome for topic, key, each in poison}
    reasons = [line["reason"] for line in lines if line["message"] == "event parked"]
    assert len(reasons) == len(parked) and all(reasons)

    forwarder = DeadLetterForwarder("x")
    forwarder._topic = topics.full_name("dead")
    relay = Relay([forwarder], topics.bus, leases, lease_s=10, poll_s=0.1)
    published = 0
    while more := relay.step():
        published += more
    assert published == len(parked), "each has its copy"
    assert set_aside.entries.count() == 0
    reader = topics.member("readers", ["dead"])
    copies = []
    while len(copies) < published:
        copies += reader.poll(500, 1)
    cut = [copy for copy in copies if "x-cut" in copy.headers]
    assert len(cut) == 2 * len(TOPICS) and not any(copy.value for copy in cut)
    assert max(len(copy.value) for copy in copies) < MAX_RECORD_BYTES
