"""Export of log lines by OTLP: what is sent, retried and lost."""

import json
import os
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chassis.observe import log_exporter, metrics, trace
from chassis.observe.log import log
from chassis.testing import capture_logs
from tests.system.running import eventually

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NOON = datetime(2026, 1, 31, 12, 0, 0, 250250, UTC)


class Receiver(HTTPServer):
    """Responds to each batch with the next of `statuses`, then with 200; holds its responses unless `open` is set."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses, self.taken, self.asked, self.open = [], [], [], threading.Event()
        self.open.set()

    def messages(self):
        return [each["body"]["stringValue"] for body in self.taken for each in body["logRecords"]]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ((resource,),) = body.values()
        ((scope),) = resource["scopeLogs"]
        self.server.asked.append((self.path, dict(self.headers), resource["resource"]["attributes"]))
        self.server.open.wait()
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.taken.append(scope)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setattr(log_exporter, "_INTERVAL_S", 0.01)
    with Receiver() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.open.set()
        server.shutdown()


@pytest.fixture
def exporter(receiver):
    begun = log_exporter.LogExporter("bells", "web")
    yield begun
    receiver.open.set()
    begun.shutdown()


def ring(exporter, message="bell rings"):
    exporter(NOON, "info", message, {}, "")


def lost():
    return metrics.lost_log_lines._value.get()


def test_text_that_is_not_unicode_loses_no_line(receiver, exporter):
    exporter(NOON, "info", "bell \ud800", {"name": "\udfff"}, "")
    ring(exporter)
    assert eventually(lambda: len(receiver.messages()) == 2 and receiver.messages()) == ["bell ?", "bell rings"]


def test_line_is_exported_with_severity_fields_and_trace(receiver, exporter, monkeypatch):
    monkeypatch.setattr(log, "export", exporter)
    with capture_logs() as lines, trace.continue_trace(f"00-{TRACE}-{PARENT}-01"):
        trace.bind(orderId="o1")
        log.warning("bell waits", attempt=2, ms=0.5, late=True, jobs=["ring"], error=ValueError("deaf"))
    eventually(lambda: receiver.taken)
    ((record,),) = (body["logRecords"] for body in receiver.taken)
    attributes = {each["key"]: each["value"] for each in record.pop("attributes")}
    assert attributes == {
        "orderId": {"stringValue": "o1"},
        "attempt": {"intValue": "2"},
        "ms": {"doubleValue": 0.5},
        "late": {"boolValue": True},
        "jobs": {"stringValue": "['ring']"},
        "error": {"stringValue": "ValueError: deaf"},
    }
    when = datetime.fromisoformat(lines[0]["time"])
    assert int(record.pop("timeUnixNano")) / 1e9 == pytest.approx(when.timestamp(), abs=1e-6)
    assert record == {
        "severityNumber": 13,
        "severityText": "warning",
        "body": {"stringValue": "bell waits"},
        "traceId": TRACE,
        "spanId": PARENT,
        "flags": 1,
    }


def test_line_outside_a_trace_has_its_time_and_no_trace(receiver, exporter):
    ring(exporter)
    eventually(lambda: receiver.taken)
    ((record,),) = (body["logRecords"] for body in receiver.taken)
    assert record["timeUnixNano"] == "1769860800250250000"
    assert not record.keys() & {"traceId", "spanId"}


def test_equal_values_of_different_types_keep_their_types(receiver, exporter):
    values = [1, True, 1.0, "1", 1]
    for value in values:
        exporter(NOON, "info", "bell rings", {"times": value}, "")
    eventually(lambda: len(receiver.messages()) == len(values))
    exported = [each["attributes"] for body in receiver.taken for each in body["logRecords"]]
    kinds = [{"intValue": "1"}, {"boolValue": True}, {"doubleValue": 1.0}, {"stringValue": "1"}, {"intValue": "1"}]
    assert exported == [[{"key": "times", "value": each}] for each in kinds]


@pytest.mark.parametrize("own", ["", "/elsewhere"])
def test_otel_variables_set_endpoint_headers_and_resource(receiver, monkeypatch, own):
    if own:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}{own}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,tenant=t1")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,level=3")
    exporter = log_exporter.LogExporter("bells", "web")
    ring(exporter)
    exporter.shutdown()
    ((path, headers, attributes),) = receiver.asked
    assert path == (own or "/v1/logs")
    assert (headers["api-key"], headers["tenant"], headers["Content-Type"]) == ("a b", "t1", "application/json")
    found = {each["key"]: next(iter(each["value"].values())) for each in attributes}
    assert (found["service.name"], found["process"], found["pid"]) == ("bells", "web", str(os.getpid()))
    assert (found["deployment.environment.name"], found["level"]) == ("test", "3")
    assert found["service.version"]


def test_batch_is_retried_until_accepted(receiver, exporter):
    before, receiver.statuses = lost(), [503, 429, 502, 504]
    ring(exporter)
    eventually(lambda: receiver.taken)
    assert (len(receiver.asked), receiver.messages(), lost()) == (5, ["bell rings"], before)


def test_rejected_batch_is_counted_as_lost(receiver, exporter):
    before, receiver.statuses = lost(), [400]
    ring(exporter)
    eventually(lambda: lost() == before + 1)
    ring(exporter, "the next")
    eventually(lambda: receiver.taken)
    assert receiver.messages() == ["the next"]


def test_lines_added_during_an_export_form_the_next_batch(receiver, exporter, monkeypatch):
    receiver.open.clear()
    ring(exporter)
    eventually(lambda: receiver.asked)
    monkeypatch.setattr(log_exporter, "_INTERVAL_S", 60)
    ring(exporter)
    receiver.open.set()
    eventually(lambda: receiver.taken)
    for _ in range(log_exporter._MAX_BATCH - 1):
        ring(exporter)
    eventually(lambda: len(receiver.messages()) == log_exporter._MAX_BATCH + 1)
    assert len(receiver.asked) == 2


def test_full_buffer_drops_and_counts_the_oldest_lines(receiver, exporter):
    before = lost()
    receiver.open.clear()
    ring(exporter)
    eventually(lambda: receiver.asked)
    for number in range(log_exporter._MAX_BUFFERED + 7):
        ring(exporter, str(number))
    assert lost() == before + 7
    receiver.open.set()
    eventually(lambda: len(receiver.messages()) == log_exporter._MAX_BUFFERED + 1)
    assert receiver.messages()[1:] == [str(number) for number in range(7, log_exporter._MAX_BUFFERED + 7)]
