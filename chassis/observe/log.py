"""The log of a process: one JSON object per line on standard output, with the current trace and ids.

Lines are written together after at most a tenth of a second; a warning or an error at once, with all lines before it.
"""

import atexit
import json
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
_UNBUFFERED = ("warning", "error")
_MAX_DELAY_S = 0.1
_MAX_BUFFERED = 1000  # lines


class _Writer:
    """Buffers lines, and writes them from a thread or at once."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._buffer = out, deque[bytes]()
        self._has_lines, self._lock = threading.Event(), threading.Lock()
        threading.Thread(target=self._run, name="log", daemon=True).start()
        atexit.register(self.flush)

    def add(self, line: bytes, at_once: bool) -> None:
        self._buffer.append(line)
        if at_once or len(self._buffer) > _MAX_BUFFERED:
            self.flush()
        elif not self._has_lines.is_set():
            self._has_lines.set()

    def flush(self) -> None:
        """Write the buffered lines."""
        with self._lock:
            lines = [self._buffer.popleft() for _ in range(len(self._buffer))]
            if not lines:
                return
            try:
                self._out.write(b"\n".join(lines) + b"\n")
                self._out.flush()
            except OSError:  # such as a full disk: the lines are lost, the work goes on
                metrics.lost_log_lines.inc(len(lines))

    def _run(self) -> None:
        while True:
            self._has_lines.wait()
            time.sleep(_MAX_DELAY_S)  # not chassis.clock: real time, whatever clock a test uses
            self._has_lines.clear()
            self.flush()


class _Log:
    """The log: `log.info("what happened", orderId=id)`; pass an exception as `error=`.

    `write(line, at_once)` receives the lines of `level` and above; `export(time, level, message, fields, traceparent)`,
    if set, receives their parts. Without `setup`, as in a command, warnings and errors go to standard error.
    """

    def __init__(self) -> None:
        self.export: Callable[[datetime, str, str, dict[str, Any], str], object] | None = None
        self._process: dict[str, Any] = {}
        self.level = _LEVELS["warning"]
        self.write: Callable[[bytes, bool], object] = lambda line, _: sys.stderr.buffer.write(line + b"\n")

    def setup(self, service: str, process: str, level: str) -> None:
        """Write the lines of this process, of this level and above, to standard output."""
        self.write, self.level = _Writer(sys.stdout.buffer).add, _LEVELS[level]
        self._process = {"service": service, "process": process, "pid": os.getpid()}

    def debug(self, message: str, **fields: Any) -> None:
        self._log("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        self._log("info", message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        self._log("warning", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        self._log("error", message, fields)

    def _log(self, level: str, message: str, fields: dict[str, Any]) -> None:
        if _LEVELS[level] < self.level:
            return
        try:
            self._write_line(level, message, fields)
        except Exception:  # such as a value whose `__str__` fails: logging never stops the work
            metrics.lost_log_lines.inc()

    def _write_line(self, level: str, message: str, fields: dict[str, Any]) -> None:
        span = trace.current()
        fields = {**span.ids, **fields}
        if isinstance(error := fields.get("error"), BaseException):
            fields["error"] = "".join(traceback.format_exception_only(error)).strip()
            if level == "error":
                fields["stack"] = "".join(traceback.format_tb(error.__traceback__))
        now = clock.now()
        line = {"time": now, "level": level, "message": message, **self._process}
        if span.traceparent:
            line["traceId"] = span.traceparent[3:35]
        line.update(fields)
        self.write(_encode(line), level in _UNBUFFERED)
        if self.export:
            self.export(now, level, message, fields, span.traceparent)


def _encode(line: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(line, str, orjson.OPT_UTC_Z)
    except TypeError:  # text with a lone surrogate, an int of more than 64 bits, a key that is not text
        stamp = line["time"].isoformat().replace("+00:00", "Z")
        text = json.dumps({**line, "time": stamp}, default=str, skipkeys=True, ensure_ascii=False)
        return text.encode(errors="replace")


log = _Log()
