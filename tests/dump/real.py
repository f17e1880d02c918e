"""Reads the engines of a platform: MongoDB by PyMongo, Kafka by kafka-python."""

import json
from collections import Counter
from functools import cache
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from pymongo import MongoClient

from mercato.catalog import catalog
from tests.dump import Dump, Published
from tests.engines import Pair
from tests.system.running import eventually

WRITE_ID = "_w"
"""A field that the store hides: see chassis.store.mongodb.store."""


def read(pair: Pair) -> Dump:
    dump = Dump()
    for name in catalog():
        dump.stores |= read_store(pair, name).stores
    topics = _topics(pair)
    topics.catch_up()
    topics.add_to(dump)
    dump.lag = topics.lag()
    return dump


def lag(pair: Pair) -> dict[tuple[str, str], int]:
    return _topics(pair).lag()


def forget(pair: Pair) -> None:
    if topics := _opened.pop(pair, None):
        topics.close()


def read_store(pair: Pair, service: str, *collections: str) -> Dump:
    database = _client(pair.uri)[service]
    found = {
        name: {doc["_id"]: doc for doc in database[name].find({}, {WRITE_ID: 0}).sort("_id")}
        for name in collections or database.list_collection_names()
    }
    return Dump(stores={service: found})


@cache
def _client(uri: str) -> MongoClient[Any]:
    return MongoClient(uri, timeoutMS=10_000)


class _Topics:
    """All event topics of a broker, read incrementally: `catch_up` reads only the new records."""

    def __init__(self, pair: Pair) -> None:
        self._consumer = KafkaConsumer(
            bootstrap_servers=pair.servers,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=10_000,
        )
        self._servers = pair.servers
        self._admin: Any = None
        self._records: dict[TopicPartition, list[Any]] = {}

    def close(self) -> None:
        self._consumer.close()
        if self._admin:
            self._admin.close()

    def catch_up(self) -> None:
        found = [each for topic in self._consumer.topics() if topic.endswith(".events") for each in self._parts(topic)]
        if new := [each for each in found if each not in self._records]:
            self._records |= {each: [] for each in new}
            self._consumer.assign(list(self._records))
            for partition, records in self._records.items():
                self._consumer.seek(partition, records[-1].offset + 1 if records else 0)
        ends = self._consumer.end_offsets(found)
        while any(self._consumer.position(partition) < end for partition, end in ends.items()):
            for partition, polled in self._consumer.poll(500).items():
                self._records[partition] += polled

    def add_to(self, dump: Dump) -> None:
        for record in (record for partition in sorted(self._records) for record in self._records[partition]):
            key = record.key.decode()
            headers = {name: value.decode() for name, value in record.headers}
            if "ce_sequence" in headers:
                sequence, data = int(headers["ce_sequence"]), json.loads(record.value)
                dump.events.append(Published(record.topic, key, sequence, headers["ce_type"], headers["ce_time"], data))
            else:
                dump.unreadable[f"{record.topic}:{record.partition}:{record.offset}"] = key

    def lag(self) -> dict[tuple[str, str], int]:
        """Return the lag of each group. A partition without a committed offset counts from its beginning."""
        groups = eventually(self._committed)
        read = {(group, each.topic) for group, committed in groups.items() for each in committed}
        topics = {topic for _, topic in read}
        ends = self._consumer.end_offsets([each for topic in topics for each in self._parts(topic)])
        lag: Counter[tuple[str, str]] = Counter({each: 0 for each in read})
        for group, topic in read:
            for each in self._parts(topic):
                lag[group, topic] += ends[each] - (groups[group][each].offset if each in groups[group] else 0)
        return dict(lag)

    def _parts(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic)]

    def _committed(self) -> dict[str, Any] | None:
        """Return group -> partition -> offset, or None while a broker is down or has just come back."""
        try:
            if self._admin is None:
                self._admin = KafkaAdminClient(bootstrap_servers=self._servers, bootstrap_timeout_ms=10_000)
            found: dict[str, Any] = self._admin.list_group_offsets(dict.fromkeys(catalog()))
            return found
        except KafkaError:
            if self._admin:
                self._admin.close()
            self._admin = None
            return None


_opened: dict[Pair, _Topics] = {}


def _topics(pair: Pair) -> _Topics:
    if pair not in _opened:
        _opened[pair] = _Topics(pair)
    return _opened[pair]
