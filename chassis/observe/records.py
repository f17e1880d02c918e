"""Log lines by OTLP over HTTP, as JSON: kept in memory by who logs, sent in batches by a thread of its own.

OTEL_RESOURCE_ATTRIBUTES holds, and ENDPOINT, HEADERS, CERTIFICATE of OTEL_EXPORTER_OTLP_* or OTEL_EXPORTER_OTLP_LOGS_*.
"""

import os
import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
import requests

from chassis.observe import metrics, otlp
from chassis.observe.log import log
from chassis.settings import PLATFORM

_KEPT, _BATCH, _EVERY = 5000, 2000, 1.0  # lines, lines, seconds
_TIMEOUT, _LONGEST_WAIT = 10.0, 30.0  # seconds for a try, and between two


def begin(service: str, process: str) -> None:
    """Export the lines of this web or worker from now on if OTEL_LOGS_EXPORTER=otlp; to be called after any fork."""
    if os.environ.get("OTEL_LOGS_EXPORTER") == "otlp" and otlp.endpoint("LOGS"):
        log.export = Exporter(service, process)


class Exporter:
    """Sends the lines that it is called with, until the process ends."""

    def __init__(self, service: str, process: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.util.re import parse_env_headers

        self._waiting = deque[orjson.Fragment]()
        self._many, self._ending = threading.Event(), threading.Event()
        self._url = os.environ.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT") or f"{otlp.endpoint('LOGS').rstrip('/')}/v1/logs"
        resource = Resource.create({"service.name": service, "process": process, "pid": os.getpid()})
        self._resource = {"attributes": orjson.Fragment(_attributes(resource.attributes))}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = otlp.setting("LOGS", "CERTIFICATE") or True
        self._session.headers.update(parse_env_headers(otlp.setting("LOGS", "HEADERS"), liberal=True))
        self._session.headers["Content-Type"] = "application/json"
        self._thread = threading.Thread(target=self._run, name="log export", daemon=True)
        self._thread.start()
        otlp.until_the_end(self.shutdown)

    def __call__(self, time: datetime, level: str, message: str, fields: Mapping[str, Any], traceparent: str) -> None:
        # Made here: a page of them would hold up every other thread.
        self._waiting.append(_record(time, level, message, fields, traceparent))
        if len(self._waiting) >= _BATCH:
            self._many.set()
        if len(self._waiting) > _KEPT:
            self._waiting.popleft()
            metrics.lost_log_lines.inc()

    def shutdown(self) -> None:
        """Send what waits, with one try for each batch."""
        self._ending.set()
        self._many.set()
        self._thread.join()

    def _run(self) -> None:
        ending = False
        while not ending:
            self._many.wait(_EVERY)
            self._many.clear()
            ending = self._ending.is_set()
            for _ in range(0, len(self._waiting), _BATCH):  # what comes meanwhile waits for its own batch
                lines = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                try:
                    trouble = self._sent(lines)
                except Exception as error:  # whatever it is, later lines shall be sent
                    trouble = type(error).__name__
                if trouble:
                    metrics.lost_log_lines.inc(len(lines))
                    otlp.trouble.warning("log lines were lost: %s", trouble)

    def _sent(self, lines: list[orjson.Fragment]) -> str:
        """Try until these lines were taken (""), refused (why), or the end has come."""
        scope = {"scope": {"name": PLATFORM}, "logRecords": lines}
        body = orjson.dumps({"resourceLogs": [{"resource": self._resource, "scopeLogs": [scope]}]})
        wait = _EVERY
        while True:
            try:
                status = self._session.post(self._url, body, timeout=_TIMEOUT, allow_redirects=False).status_code
                trouble, final = "" if status < 300 else f"status {status}", status not in (429, 502, 503, 504)
            except requests.RequestException as error:  # its text may hold what is secret in a URL
                trouble, final = type(error).__name__, False
            if final or self._ending.is_set():
                return trouble
            otlp.trouble.warning("log lines wait: %s", trouble)
            self._ending.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT)


_SEVERITY = {"debug": 5, "info": 9, "warning": 13, "error": 17}
_REMEMBERED = 1000  # parts of records: most lines say again what others have said


def _record(time: datetime, level: str, message: str, fields: Mapping[str, Any], traceparent: str) -> orjson.Fragment:
    when, said, about = round(time.timestamp() * 1e6), _said(level, message), _attributes(fields)
    record = f'{{"timeUnixNano":"{when}000",{said},"attributes":{about}'
    if traceparent:
        trace, span, flags = traceparent[3:35], traceparent[36:52], int(traceparent[53:], 16)
        record += f',"traceId":"{trace}","spanId":"{span}","flags":{flags}'
    return orjson.Fragment(f"{record}}}".encode())  # bytes: what is looked through for garbage stays small


@lru_cache(_REMEMBERED)
def _said(level: str, message: str) -> str:
    said = {"severityNumber": _SEVERITY[level], "severityText": level, "body": {"stringValue": message}}
    return orjson.dumps(said)[1:-1].decode()


def _attributes(fields: Mapping[str, Any]) -> str:
    try:
        return f"[{','.join(map(_attribute, fields, fields.values()))}]"
    except TypeError:  # of a value that has no hash, as a list
        return f"[{','.join(map(_attribute.__wrapped__, fields, fields.values()))}]"


@lru_cache(_REMEMBERED, typed=True)
def _attribute(name: str, value: object) -> str:
    kind = type(value)
    if kind is bool:
        typed: dict[str, object] = {"boolValue": value}
    elif kind is float:
        typed = {"doubleValue": value}
    else:
        typed = {"intValue" if kind is int else "stringValue": str(value)}  # protobuf's JSON has ints as text
    return orjson.dumps({"key": name, "value": typed}).decode()
