"""Settings and resource attributes of the OTLP exporters for traces and logs, and their logger."""

import logging
import os
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from chassis.settings import PLATFORM, settings

Signal = Literal["TRACES", "LOGS"]

logger = logging.getLogger("opentelemetry")
"""Logger of the exporters, that of the SDK included."""


def variable(signal: Signal, name: str) -> str:
    """Return OpenTelemetry's variable for this signal, or else that for all signals; "" if neither is set."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")


def endpoint(signal: Signal) -> str:
    """Return the endpoint that the variables name for this signal, "" for none."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    return variable(signal, "ENDPOINT")


def resource_defaults() -> dict[str, str]:
    """Return the resource attributes that OTEL_RESOURCE_ATTRIBUTES may replace: version and environment."""
    attributes = {"deployment.environment.name": settings().installation or "local"}
    try:
        attributes["service.version"] = version(PLATFORM)
    except PackageNotFoundError:  # a platform that is run from its source without being installed
        pass
    return attributes
