"""What the exports of traces and logs share: where they go, who tells of their trouble, and an end that is in time."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Literal

LAST_FLUSH = 2.0
"""Seconds that the end of a process may wait for all that is not exported yet."""

trouble = logging.getLogger("opentelemetry")
"""Where exporters, the SDK's too, tell what goes wrong: a warning a minute for all of them."""

_ending = threading.Event()
_last: list[threading.Thread] = []


def setting(signal: Literal["TRACES", "LOGS"], name: str) -> str:
    """OpenTelemetry's own variable for this kind of OTLP, or for all; "" where neither is set."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")


def endpoint(signal: Literal["TRACES", "LOGS"]) -> str:
    """Where OTLP of this kind goes by OpenTelemetry's own variables, "" where nowhere."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    return setting(signal, "ENDPOINT")


def until_the_end(shutdown: Callable[[], object]) -> None:
    """Export until the process ends, and call `shutdown` then; the log tells of what goes wrong meanwhile."""
    from chassis.observe import stdlib_logs

    def flush() -> None:
        _ending.wait()
        shutdown()

    if not _last:
        stdlib_logs.RateLimitedHandler(trouble.name, "the export of telemetry has trouble")
        atexit.register(_end)
    # The SDK would wait half a minute for a collector that is gone, and at exit no thread can begin: one is ready.
    _last.append(threading.Thread(target=flush, name="last flush", daemon=True))
    _last[-1].start()


def _end() -> None:
    until = time.monotonic() + LAST_FLUSH
    _ending.set()
    for thread in _last:
        thread.join(max(0.0, until - time.monotonic()))
