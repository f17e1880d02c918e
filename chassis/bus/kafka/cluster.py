"""Connections to a Kafka cluster: what the producer, the consumers and the admin client have in common."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from chassis.bus import BusUnavailable
from chassis.observe import stdlib_logs
from chassis.settings import PLATFORM

REQUEST_TIMEOUT_S = 3.0
"""Time that a broker has for one response. After that the request is repeated over another connection."""


class Cluster:
    """A cluster: `servers` as `host:port,...`, `security` as kafka-python's settings security_protocol, sasl_..."""

    def __init__(self, servers: str, security: Mapping[str, str]) -> None:
        self._settings: dict[str, Any] = {
            "bootstrap_servers": servers,
            "client_id": PLATFORM,
            "request_timeout_ms": round(REQUEST_TIMEOUT_S * 1000),
            "reconnect_backoff_max_ms": 1000,
            **security,
        }
        stdlib_logs.RateLimitedHandler("kafka", "Kafka client error")

    def connect(self, make: Callable[..., Any], timeout_s: float, **settings: Any) -> Any:
        """Return a client once it has reached a broker. Raises BusUnavailable if none answers within `timeout_s`.

        A constructor of kafka-python that finds no broker leaves its sockets open, so this closes them.
        """
        opened: list[Any] = []

        def network(**configs: Any) -> Any:
            client = KafkaNetClient(**configs, slow_task_threshold_secs=0)  # or it logs warnings on a busy machine
            client.cluster.config["allow_auto_create_topics"] = False  # kafka-python drops the setting of this name
            opened.append(client)
            return client

        bootstrap = {"bootstrap_timeout_ms": round(timeout_s * 1000)}
        try:
            with translated_errors():
                return make(**self._settings, **settings, **bootstrap, kafka_client=network)
        except BaseException:
            for client in opened:
                client.close()
            raise


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise the errors of kafka-python as BusUnavailable."""
    try:
        yield
    except KafkaError as error:
        raise BusUnavailable(f"Kafka: {error}") from error
