"""Probes of a process: is it ready, and how far behind are its consumers?"""

import http.client

from prometheus_client.parser import text_string_to_metric_families

from mercato.local.ports import HOST


def is_ready(port: int, health_port: int, timeout_s: float = 2.0) -> bool:
    """Return whether a service's health port answers that it is ready, or the router's port answers at all."""
    status, _ = _get(health_port or port, "/readyz", timeout_s)
    return status == 200 or (status > 0 and not health_port)


def consumer_lag(health_port: int, timeout_s: float) -> int | None:
    """Return how many records this worker has still to consume; None if it consumes none or does not answer."""
    _, text = _get(health_port, "/metrics", timeout_s)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families["mercato_consumer_lag"].samples if "mercato_consumer_lag" in families else []
    return round(sum(sample.value for sample in samples)) if samples else None


def _get(port: int, path: str, timeout_s: float) -> tuple[int, str]:
    """Return (status, body), or (0, "") if nothing answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
