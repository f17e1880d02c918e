"""Starts the export of traces and logs by OTLP, and flushes both when the process ends.

Importing the exporters takes long, so a process that exports nothing does not import them.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Collection

from chassis.observe import otlp, trace
from chassis.observe.log import log
from chassis.observe.stdlib_logs import RateLimitedHandler

FLUSH_TIMEOUT_S = 2.0
"""Longest time that the end of a process is delayed by the last flush."""

_ending = threading.Event()
_flushes: list[threading.Thread] = []


def start(service: str, process: str, traced_ids: Collection[str] = ()) -> None:
    """Export spans and log lines of this process wherever OTEL_* variables name an endpoint. Call it after any fork.

    `traced_ids` are the ids of log lines, such as `orderId`, that spans have, too.
    """
    shutdowns: list[Callable[[], object]] = []
    if otlp.endpoint("LOGS") and os.environ.get("OTEL_LOGS_EXPORTER") == "otlp":
        from chassis.observe.log_exporter import LogExporter

        exporter = LogExporter(service, process)
        log.export = exporter
        shutdowns.append(exporter.shutdown)
    if otlp.endpoint("TRACES"):
        from chassis.observe import spans

        recorder = spans.otlp_recorder(service, traced_ids)
        trace.use(recorder)
        shutdowns.append(recorder.shutdown)
    if shutdowns:
        RateLimitedHandler(otlp.logger.name, "telemetry export failed")
        _flush_at_exit(shutdowns)


def _flush_at_exit(shutdowns: list[Callable[[], object]]) -> None:
    # The SDK waits half a minute for a collector that is down, and at exit no thread can start: these are ready.
    for shutdown in shutdowns:
        _flushes.append(threading.Thread(target=_flush, args=(shutdown,), name="last flush", daemon=True))
        _flushes[-1].start()
    atexit.register(_end)


def _flush(shutdown: Callable[[], object]) -> None:
    _ending.wait()
    shutdown()


def _end() -> None:
    until = time.monotonic() + FLUSH_TIMEOUT_S
    _ending.set()
    for thread in _flushes:
        thread.join(max(0.0, until - time.monotonic()))
