"""Export of log lines by OTLP over HTTP as JSON: buffered in memory, sent in batches by a thread.

The exporter of opentelemetry-sdk needs seven times the CPU time for a line: see docs/performance.md.

It reads OTEL_RESOURCE_ATTRIBUTES and OTEL_EXPORTER_OTLP_* or OTEL_EXPORTER_OTLP_LOGS_*: ENDPOINT, HEADERS, CERTIFICATE.
"""

import json
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache, partial
from time import sleep
from typing import Any

import orjson
import requests
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.re import parse_env_headers

from chassis.background import retry_until
from chassis.errors import TransientError
from chassis.observe import metrics, otlp
from chassis.settings import PLATFORM

_MAX_BUFFERED, _MAX_BATCH = 5000, 2000  # lines
_ENCODED_AT_ONCE = 50  # lines
_INTERVAL_S, _TIMEOUT_S, _MAX_BACKOFF_S = 1.0, 10.0, 30.0

Line = tuple[datetime, str, str, Mapping[str, Any], str]
"""Time, level, message, fields and traceparent of a log line."""


class LogExporter:
    """Exports the log lines that it is called with."""

    def __init__(self, service: str, process: str) -> None:
        self._buffer = deque[Line]()
        self._wake, self._ending = threading.Event(), threading.Event()
        self._url = os.environ.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT") or f"{otlp.endpoint('LOGS').rstrip('/')}/v1/logs"
        own = Resource.create({"service.name": service, "process": process, "pid": os.getpid()})
        resource = Resource(otlp.resource_defaults()).merge(own)
        self._resource = {"attributes": orjson.Fragment(_attributes(resource.attributes))}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = otlp.variable("LOGS", "CERTIFICATE") or True
        self._session.headers.update(parse_env_headers(otlp.variable("LOGS", "HEADERS"), liberal=True))
        self._session.headers["Content-Type"] = "application/json"
        self._thread = threading.Thread(target=self._run, name="log export", daemon=True)
        self._thread.start()

    def __call__(self, time: datetime, level: str, message: str, fields: Mapping[str, Any], traceparent: str) -> None:
        self._buffer.append((time, level, message, fields, traceparent))
        if len(self._buffer) >= _MAX_BATCH:
            self._wake.set()
        if len(self._buffer) > _MAX_BUFFERED:
            self._buffer.popleft()
            metrics.lost_log_lines.inc()

    def shutdown(self) -> None:
        """Send the buffered lines, with one attempt for each batch."""
        self._ending.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        ending = False
        while not ending:
            self._wake.wait(_INTERVAL_S)
            self._wake.clear()
            ending = self._ending.is_set()
            for _ in range(0, len(self._buffer), _MAX_BATCH):  # lines added meanwhile are a later batch
                lines = [self._buffer.popleft() for _ in range(min(_MAX_BATCH, len(self._buffer)))]
                try:
                    failure = self._send(lines)
                except Exception as error:  # the thread must go on with later lines
                    failure = type(error).__name__
                if failure:
                    metrics.lost_log_lines.inc(len(lines))
                    otlp.logger.warning("log lines lost: %s", failure)

    def _send(self, lines: list[Line]) -> str:
        """Send a batch until it is accepted, rejected, or the process ends; return the reason of a failure, or ""."""
        scope = {"scope": {"name": PLATFORM}, "logRecords": list(_records(lines))}
        body = orjson.dumps({"resourceLogs": [{"resource": self._resource, "scopeLogs": [scope]}]})
        attempt = partial(self._post, body)
        failure = retry_until(self._ending, attempt, "log export failed", max_backoff_s=_MAX_BACKOFF_S)
        if failure is not None:
            return failure
        try:
            return attempt()
        except TransientError as error:
            return str(error)

    def _post(self, body: bytes) -> str:
        """Send a batch once; return why it is rejected, or "". Raises TransientError if a retry may help."""
        try:
            status = self._session.post(self._url, body, timeout=_TIMEOUT_S, allow_redirects=False).status_code
        except requests.RequestException as error:  # its text may contain a secret of the URL
            raise TransientError(type(error).__name__) from None
        if status in (429, 502, 503, 504):
            raise TransientError(f"status {status}")
        return "" if status < 300 else f"status {status}"


_SEVERITY = {"debug": 5, "info": 9, "warning": 13, "error": 17}
_CACHED = 1000  # encoded parts of records: most lines repeat those of others


def _records(lines: Iterable[Line]) -> Iterator[orjson.Fragment]:
    """Encode lines, and let other threads run after every few: a whole batch would block each of them for 5 ms."""
    for number, line in enumerate(lines, 1):
        yield _record(*line)
        if number % _ENCODED_AT_ONCE == 0:
            sleep(0)


def _record(time: datetime, level: str, message: str, fields: Mapping[str, Any], traceparent: str) -> orjson.Fragment:
    microseconds, body, attributes = round(time.timestamp() * 1e6), _body(level, message), _attributes(fields)
    record = f'{{"timeUnixNano":"{microseconds}000",{body},"attributes":{attributes}'
    if traceparent:
        trace, span, flags = traceparent[3:35], traceparent[36:52], int(traceparent[53:], 16)
        record += f',"traceId":"{trace}","spanId":"{span}","flags":{flags}'
    return orjson.Fragment(f"{record}}}".encode())  # bytes are not tracked by the garbage collector


@lru_cache(_CACHED)
def _body(level: str, message: str) -> str:
    body = {"severityNumber": _SEVERITY[level], "severityText": level, "body": {"stringValue": message}}
    return _dumps(body)[1:-1]


def _attributes(fields: Mapping[str, Any]) -> str:
    try:
        return f"[{','.join(map(_attribute, fields, fields.values()))}]"
    except TypeError:  # a value without a hash, such as a list
        return f"[{','.join(map(_attribute.__wrapped__, fields, fields.values()))}]"


@lru_cache(_CACHED, typed=True)
def _attribute(name: str, value: object) -> str:
    kind = type(value)
    if kind is bool:
        typed: dict[str, object] = {"boolValue": value}
    elif kind is float:
        typed = {"doubleValue": value}
    else:
        typed = {"intValue" if kind is int else "stringValue": str(value)}  # protobuf's JSON writes ints as text
    return _dumps({"key": name, "value": typed})


def _dumps(data: Mapping[str, object]) -> str:
    try:
        return orjson.dumps(data).decode()
    except TypeError:  # text with a lone surrogate
        return json.dumps(data, ensure_ascii=False).encode(errors="replace").decode()
