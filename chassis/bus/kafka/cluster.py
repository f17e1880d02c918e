"""Where Kafka is and how it is spoken to: what the producer, the consumers and the admin client have in common."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from chassis.bus import BusUnavailable
from chassis.observe import stdlib_logs
from chassis.settings import PLATFORM

ANSWER = 3.0
"""Seconds that a broker has for one answer; then it is asked again over another connection."""


class Cluster:
    """`servers` to begin with, as `host:port,...`; `security` is what kafka-python calls security_protocol, sasl_..."""

    def __init__(self, servers: str, security: Mapping[str, str]) -> None:
        self._how: dict[str, Any] = {
            "bootstrap_servers": servers,
            "client_id": PLATFORM,
            "request_timeout_ms": round(ANSWER * 1000),
            "reconnect_backoff_max_ms": 1000,
            **security,
        }
        stdlib_logs.RateLimitedHandler("kafka", "Kafka's client has trouble")

    def connect(self, make: Callable[..., Any], patience: float, **settings: Any) -> Any:
        """A client, once it has reached a broker. Raises BusUnavailable where none answers within `patience` seconds.

        kafka-python makes no client without a broker, and what it has opened by then it leaves behind: so we close it.
        """
        opened: list[Any] = []

        def network(**configs: Any) -> Any:
            client = KafkaNetClient(**configs, slow_task_threshold_secs=0)  # it would warn of a busy machine
            client.cluster.config["allow_auto_create_topics"] = False  # the setting of this name gets lost on its way
            opened.append(client)
            return client

        wait = {"bootstrap_timeout_ms": round(patience * 1000)}
        try:
            with trouble():
                return make(**self._how, **settings, **wait, kafka_client=network)
        except BaseException:
            for client in opened:
                client.close()
            raise


@contextmanager
def trouble() -> Iterator[None]:
    """Whatever kafka-python raises, as the port does."""
    try:
        yield
    except KafkaError as error:
        raise BusUnavailable(f"Kafka: {error}") from error
