"""The bus over Kafka, by kafka-python.

kafkaproducer   publishes: a record of a key once the one before it is acknowledged
kafkaconsumer   a member of a group
kafkacluster    how all of them reach the brokers
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import NoError, TopicAlreadyExistsError, for_code

from chassis.bus import BusUnavailable, Record, Topic
from chassis.bus.kafka.cluster import ANSWER, Cluster, trouble
from chassis.bus.kafka.consumer import KafkaConsumer
from chassis.bus.kafka.producer import Producer

_DAY = 24 * 3600.0


class KafkaBus:
    """Implements `chassis.bus.Bus`. A member of a group that is silent for `session` seconds loses its partitions.

    `replication`: how many brokers keep each record of the topics that it makes. `security`: see `Cluster`.
    """

    def __init__(
        self, servers: str, replication: int = 1, session: float = 10.0, security: Mapping[str, str] | None = None
    ) -> None:
        self._cluster = Cluster(servers, security or {})
        self._producer = Producer(self._cluster)
        self._replication, self._session = replication, session

    def ensure_topics(self, topics: Sequence[Topic]) -> None:
        with self._admin() as admin:
            there = {
                each["name"]
                for each in admin.describe_topics([topic.name for topic in topics])
                if each["error_code"] == NoError.errno
            }
            self._make(admin, [topic for topic in topics if topic.name not in there])
            self._keep(admin, [topic for topic in topics if topic.name in there])

    def publish(self, records: Sequence[Record], timeout: float) -> list[BaseException | None]:
        return self._producer.publish(records, timeout)

    def consumer(self, group: str, topics: Sequence[str]) -> KafkaConsumer:
        return KafkaConsumer(self._cluster, group, topics, self._session)

    def ping(self) -> None:
        with self._admin():
            pass  # it has asked a broker who is there

    def close(self) -> None:
        self._producer.close()

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        admin = self._cluster.connect(KafkaAdminClient, ANSWER)
        try:
            with trouble():
                yield admin
        finally:
            admin.close()

    def _make(self, admin: Any, topics: Sequence[Topic]) -> None:
        wanted = {
            topic.name: {
                "num_partitions": topic.partitions,
                "replication_factor": self._replication,
                "configs": {"min.insync.replicas": str(min(2, self._replication)), **_retention(topic)},
            }
            for topic in topics
        }
        if not wanted:
            return
        for made in admin.create_topics(wanted, raise_errors=False)["topics"]:
            error = for_code(made["error_code"])
            if error not in (NoError, TopicAlreadyExistsError):  # another process may have been first
                raise BusUnavailable(f"Kafka: the topic {made['name']}: {error.__name__}: {made['error_message']}")
        admin.wait_for_topics(list(wanted), timeout_ms=ANSWER * 1000)

    def _keep(self, admin: Any, topics: Sequence[Topic]) -> None:
        """Bring the retention of topics that were there in line."""
        asked = [ConfigResource("topic", topic.name, list(_retention(topic))) for topic in topics]
        found = admin.describe_configs(asked, config_filter="all").get("topic", {}) if asked else {}
        other = [
            ConfigResource("topic", topic.name, _retention(topic))
            for topic in topics
            if any(found[topic.name][name]["value"] != value for name, value in _retention(topic).items())
        ]
        if other:
            for name, result in admin.alter_configs(other)["topic"].items():
                if result != "OK":
                    raise BusUnavailable(f"Kafka: the topic {name}: {result}")


def _retention(topic: Topic) -> dict[str, str]:
    """Records go by whole segments, so one is ended each day, or it would be kept for up to twice its time."""
    return {
        "retention.ms": str(round(topic.retention * 1000)),
        "segment.ms": str(round(min(topic.retention, _DAY) * 1000)),
    }
