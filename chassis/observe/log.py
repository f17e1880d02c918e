"""One JSON line for each thing worth telling, on standard output, with the trace it belongs to and what it is about.

Lines leave together, a tenth of a second late at most; a warning or an error at once, with all that came before it.
"""

import atexit
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, BinaryIO

import orjson

from chassis import clock
from chassis.observe import metrics, trace

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_URGENT = ("warning", "error")
_LATE = 0.1  # seconds
_MANY = 1000


class _Lines:
    """What is to be written, and when."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._waiting = out, deque[bytes]()
        self._some, self._lock = threading.Event(), threading.Lock()
        threading.Thread(target=self._write_now_and_then, name="log", daemon=True).start()
        atexit.register(self.write)

    def add(self, line: bytes, at_once: bool) -> None:
        self._waiting.append(line)
        if at_once or len(self._waiting) > _MANY:
            self.write()
        elif not self._some.is_set():
            self._some.set()

    def write(self) -> None:
        """Write what waits."""
        with self._lock:
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not lines:
                return
            try:
                self._out.write(b"\n".join(lines) + b"\n")
                self._out.flush()
            except OSError:  # as on a full disk: what was to be told is lost, what is being done is not
                metrics.lost_log_lines.inc(len(lines))

    def _write_now_and_then(self) -> None:
        while True:
            self._some.wait()
            time.sleep(_LATE)  # of the machine, whatever clock a test has put in its place
            self._some.clear()
            self.write()


class _Log:
    """`log.info("what happened", orderId=id)`; an exception goes in as `error=`, and brings its stack to an error.

    `write(line, at_once)` takes the lines from `level` on, and `export(time, level, message, fields, traceparent)` what
    they say beyond their process, where there is one. A command that was not set up tells its warnings and errors on
    standard error.
    """

    def __init__(self) -> None:
        self.export: Callable[[datetime, str, str, dict[str, Any], str], object] | None = None
        self._process: dict[str, Any] = {}
        self.level = _LEVELS["warning"]
        self.write: Callable[[bytes, bool], object] = lambda line, _: sys.stderr.buffer.write(line + b"\n")

    def setup(self, service: str, process: str, level: str) -> None:
        """Send every line of this process, from this level on, to standard output."""
        self.write, self.level = _Lines(sys.stdout.buffer).add, _LEVELS[level]
        self._process = {"service": service, "process": process, "pid": os.getpid()}

    def debug(self, message: str, **fields: Any) -> None:
        self._say("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        self._say("info", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        self._say("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        self._say("error", message, fields)

    def _say(self, level: str, message: str, fields: dict[str, Any]) -> None:
        if _LEVELS[level] < self.level:
            return
        work = trace.current()
        fields = {**work.ids, **fields}
        if isinstance(error := fields.get("error"), BaseException):
            fields["error"] = "".join(traceback.format_exception_only(error)).strip()
            if level == "error":
                fields["stack"] = "".join(traceback.format_tb(error.__traceback__))
        now = clock.now()
        line = {"time": now, "level": level, "message": message, **self._process}
        if work.traceparent:
            line["traceId"] = work.traceparent[3:35]
        line.update(fields)
        self.write(orjson.dumps(line, str, orjson.OPT_UTC_Z), level in _URGENT)
        if self.export:
            self.export(now, level, message, fields, work.traceparent)


log = _Log()
