"""Reads the engines of a platform: MongoDB by PyMongo, Kafka by kafka-python."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import NotCoordinatorError
from pymongo import MongoClient

from chassis.catalog import catalog
from tests.dump import Dump, Published
from tests.engines import Pair
from tests.system.running import eventually

MARK = "_w"
"""A field that readers never see: see chassis.store.mongodb."""


def read(pair: Pair) -> Dump:
    dump = Dump()
    for name in catalog():
        dump.stores |= read_store(pair, name).stores
    with _consumer(pair) as consumer:
        _read_events(consumer, dump)
        dump.lag = _lag(pair, consumer)
    return dump


def read_store(pair: Pair, service: str) -> Dump:
    database = _client(pair.uri)[service]
    found = {
        name: {doc["_id"]: doc for doc in database[name].find({}, {MARK: 0}).sort("_id")}
        for name in database.list_collection_names()
    }
    return Dump(stores={service: found})


@cache
def _client(uri: str) -> MongoClient[Any]:
    return MongoClient(uri, timeoutMS=10_000)


@contextmanager
def _consumer(pair: Pair) -> Iterator[KafkaConsumer]:
    consumer = KafkaConsumer(bootstrap_servers=pair.servers, enable_auto_commit=False, bootstrap_timeout_ms=10_000)
    with closing(consumer):
        yield consumer


def _read_events(consumer: KafkaConsumer, dump: Dump) -> None:
    topics = [topic for topic in consumer.topics() if topic.endswith(".events")]
    partitions = [TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    records = defaultdict(list)
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for partition, polled in consumer.poll(500).items():
            records[partition] += polled
    for partition in sorted(partitions):
        for record in records[partition]:
            key = record.key.decode()
            headers = {name: value.decode() for name, value in record.headers}
            if "ce_sequence" in headers:
                sequence, data = int(headers["ce_sequence"]), json.loads(record.value)
                dump.events.append(
                    Published(record.topic, key, sequence, headers["ce_type"], headers["ce_time"], data)
                )
            else:
                dump.unreadable[f"{record.topic}:{record.partition}:{record.offset}"] = key


def _committed(pair: Pair) -> dict[str, Any] | None:
    """group -> partition -> offset; None while a broker that has just come back looks for its groups."""
    with closing(KafkaAdminClient(bootstrap_servers=pair.servers, bootstrap_timeout_ms=10_000)) as admin:
        try:
            found: dict[str, Any] = admin.list_group_offsets(dict.fromkeys(catalog()))
            return found
        except NotCoordinatorError:
            return None


def _lag(pair: Pair, consumer: KafkaConsumer) -> dict[tuple[str, str], int]:
    """Counted from the beginning for a partition where a group that reads the topic has committed nothing."""
    groups = eventually(lambda: _committed(pair))
    lag: dict[tuple[str, str], int] = {}
    for group, committed in groups.items():
        for topic in {partition.topic for partition in committed}:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            ends, begins = consumer.end_offsets(partitions), consumer.beginning_offsets(partitions)
            done = {each: max(begins[each], committed[each].offset if each in committed else 0) for each in partitions}
            lag[group, topic] = sum(ends[each] - done[each] for each in partitions)
    return lag
