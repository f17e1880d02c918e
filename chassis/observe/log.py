"""One JSON line for each thing worth telling, on standard output, with the trace it belongs to."""

import os
import sys
import traceback
from typing import Any

import orjson
import structlog

from chassis import clock
from chassis.observe import trace

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def setup(service: str, process: str, level: str) -> None:
    """Send every log line of this process to standard output as JSON."""
    static = {"service": service, "process": process, "pid": os.getpid()}

    def stamp(_: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        line: dict[str, Any] = {"time": clock.timestamp(), "level": method, "message": event.pop("event"), **static}
        if current := trace.trace_id():
            line["traceId"] = current
        error = event.pop("error", None)
        if isinstance(error, BaseException):
            line["error"] = "".join(traceback.format_exception_only(error)).strip()
            if method == "error":
                line["stack"] = "".join(traceback.format_tb(error.__traceback__))
        elif error is not None:
            line["error"] = error
        return {**line, **event}

    structlog.configure(
        processors=[stamp, structlog.processors.JSONRenderer(serializer=_json)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )


def _json(line: dict[str, Any], **_: Any) -> bytes:
    return orjson.dumps(line, default=str)


log = structlog.get_logger()
"""`log.info("what happened", order=id)`; an exception goes in as `error=`."""
