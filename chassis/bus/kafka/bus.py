"""The bus on Kafka, through kafka-python.

kafka/producer  publishes: a record of a key leaves once the one before it is acknowledged
kafka/consumer  a member of a consumer group
kafka/cluster   connects all of them to the brokers
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import NoError, TopicAlreadyExistsError, for_code

from chassis.bus import BusUnavailable, Record, Topic
from chassis.bus.kafka.cluster import REQUEST_TIMEOUT_S, Cluster, translated_errors
from chassis.bus.kafka.consumer import KafkaConsumer
from chassis.bus.kafka.producer import Producer

_MAX_SEGMENT_S = 24 * 3600.0


class KafkaBus:
    """Implements `chassis.bus.Bus`. A member of a group that is silent for `session_s` loses its partitions.

    `replication`: the replication factor of the topics that it creates. `security`: see `Cluster`.
    """

    def __init__(
        self, servers: str, replication: int = 1, session_s: float = 10.0, security: Mapping[str, str] | None = None
    ) -> None:
        self._cluster = Cluster(servers, security or {})
        self._producer = Producer(self._cluster)
        self._replication, self._session_s = replication, session_s

    def ensure_topics(self, topics: Sequence[Topic]) -> None:
        with self._admin() as admin:
            existing = {
                each["name"]
                for each in admin.describe_topics([topic.name for topic in topics])
                if each["error_code"] == NoError.errno
            }
            self._create(admin, [topic for topic in topics if topic.name not in existing])
            self._update_retention(admin, [topic for topic in topics if topic.name in existing])

    def publish(self, records: Sequence[Record], timeout_s: float) -> list[BaseException | None]:
        return self._producer.publish(records, timeout_s)

    def consumer(self, group: str, topics: Sequence[str]) -> KafkaConsumer:
        return KafkaConsumer(self._cluster, group, topics, self._session_s)

    def ping(self) -> None:
        with self._admin():
            pass  # the connection has already made a request

    def close(self) -> None:
        self._producer.close()

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        admin = self._cluster.connect(KafkaAdminClient, REQUEST_TIMEOUT_S)
        try:
            with translated_errors():
                yield admin
        finally:
            admin.close()

    def _create(self, admin: Any, topics: Sequence[Topic]) -> None:
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
        for created in admin.create_topics(wanted, raise_errors=False)["topics"]:
            error = for_code(created["error_code"])
            if error not in (NoError, TopicAlreadyExistsError):  # another process may have been faster
                message = f"{error.__name__}: {created['error_message']}"
                raise BusUnavailable(f"Kafka: cannot create the topic {created['name']}: {message}")
        admin.wait_for_topics(list(wanted), timeout_ms=REQUEST_TIMEOUT_S * 1000)

    def _update_retention(self, admin: Any, topics: Sequence[Topic]) -> None:
        queried = [ConfigResource("topic", topic.name, list(_retention(topic))) for topic in topics]
        found = admin.describe_configs(queried, config_filter="all").get("topic", {}) if queried else {}
        changed = [
            ConfigResource("topic", topic.name, _retention(topic))
            for topic in topics
            if any(found[topic.name][name]["value"] != value for name, value in _retention(topic).items())
        ]
        if changed:
            for name, result in admin.alter_configs(changed)["topic"].items():
                if result != "OK":
                    raise BusUnavailable(f"Kafka: cannot set the retention of the topic {name}: {result}")


def _retention(topic: Topic) -> dict[str, str]:
    """Return the topic's configuration. Kafka deletes whole segments: longer ones would keep records for too long."""
    return {
        "retention.ms": str(round(topic.retention_s * 1000)),
        "segment.ms": str(round(min(topic.retention_s, _MAX_SEGMENT_S) * 1000)),
    }
