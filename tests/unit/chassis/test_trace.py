"""Traces: ids are always propagated; a recorder records spans with their parents and without personal data."""

import subprocess
import sys
from importlib.metadata import version

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from chassis.bus import Topic
from chassis.bus.sqlite.bus import SqliteBus
from chassis.calls.discovery import Endpoints
from chassis.calls.upstream import Upstream
from chassis.errors import DomainError, NotFound, OutcomeUnknown
from chassis.events import dead_letters, outbox
from chassis.events.batch_progress import progress
from chassis.events.consumer import Consumer
from chassis.events.outbox import EmbeddedOutbox, LatestStateOutbox
from chassis.events.relay import Relay
from chassis.messages import Event
from chassis.observe import spans, trace
from chassis.store import Collection, Duplicate, StoreUnavailable
from chassis.store.timed import TimedStore

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
MALFORMED = [None, "", "nonsense", f"{SAMPLED}-more", f"{SAMPLED}\n", f"00-{TRACE.upper()}-{PARENT}-01"]
MALFORMED += [f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01"]


class Rung(Event, type="bell.rung", key="bell"):
    bell: str


Rung.service = "bells"
bells, leases = Collection("bells", outbox.PENDING_INDEX), Collection("leases")


class Recording:
    """A recorder with readable spans."""

    def __init__(self, *traced_ids):
        self._exporter = InMemorySpanExporter()
        self.recorder = spans.Recorder("bells", self._exporter, traced_ids)

    def all(self):
        self.recorder.flush()
        return self._exporter.get_finished_spans()

    def one(self, name):
        (found,) = (span for span in self.all() if span.name == name)
        return found


@pytest.fixture
def begin():
    """Return a function that starts a recorder, of these ids, with the current OTEL_* variables."""
    begun = []

    def recording(*traced_ids):
        begun.append(Recording(*traced_ids))
        trace.use(begun[-1].recorder)
        return begun[-1]

    yield recording
    trace.use(None)
    for each in begun:
        each.recorder.shutdown()


@pytest.fixture
def recording(begin):
    return begin()


def parent_of(span):
    return f"{span.parent.span_id:016x}" if span.parent else None


def id_of(span):
    return f"{span.context.span_id:016x}"


def test_opentelemetry_is_not_imported_without_endpoint():
    script = (
        "import sys; from chassis import service; from chassis.web import app;"
        "from chassis.observe import export, trace;"
        "export.start('bells', 'web');"
        "trace.continue_trace(None).__enter__(); trace.span('part').__enter__();"
        "print(*(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    done = subprocess.run([sys.executable, "-c", script], env={}, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_there_is_no_trace_outside_any_work():
    assert (trace.trace_id(), trace.traceparent()) == ("", "")
    with trace.span("part") as span:
        span.set_attribute("a", 1)
        assert trace.traceparent() == ""


def test_header_is_propagated_unchanged_without_recorder():
    with trace.continue_trace(SAMPLED), trace.span("part"):
        assert (trace.trace_id(), trace.traceparent()) == (TRACE, SAMPLED)
    assert trace.trace_id() == ""


@pytest.mark.parametrize("header", MALFORMED)
@pytest.mark.parametrize("recorded", [False, True])
def test_missing_or_malformed_header_starts_a_new_trace(begin, header, recorded):
    if recorded:
        begin()
    with trace.continue_trace(header):
        first = trace.traceparent()
    with trace.continue_trace(header):
        assert trace.trace_id() != first[3:35]
    assert trace._PARENT.fullmatch(first) and TRACE not in first
    assert first.endswith("-01" if recorded else "-00")


def test_nested_span_is_a_child(recording):
    with trace.continue_trace(SAMPLED, "GET", "server"):
        with trace.span("users/verify", "client"):
            handed_on = trace.traceparent()
        with trace.span("afterwards"):
            pass
    server, client = recording.one("GET"), recording.one("users/verify")
    assert {f"{span.context.trace_id:032x}" for span in recording.all()} == {TRACE}
    assert parent_of(server) == PARENT and server.parent.is_remote
    assert [parent_of(recording.one(name)) for name in ("users/verify", "afterwards")] == [id_of(server)] * 2
    assert (server.kind.name, client.kind.name) == ("SERVER", "CLIENT")
    assert handed_on[:52] == f"00-{TRACE}-{id_of(client)}"


def test_unsampled_parent_is_not_recorded(recording):
    with trace.continue_trace(UNSAMPLED), trace.span("part"):
        assert trace.traceparent() == UNSAMPLED
    assert recording.all() == ()


def test_dropped_trace_is_propagated_as_unsampled(begin, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    recording = begin()
    with trace.continue_trace(None), trace.span("part"):
        assert trace.traceparent().endswith("-00") and len(trace.trace_id()) == 32
    with trace.continue_trace(SAMPLED, "sampled before"):
        pass
    assert [span.name for span in recording.all()] == ["sampled before"]


def test_sampler_may_ignore_the_parent(begin, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    recording = begin()
    with trace.continue_trace(UNSAMPLED, "recorded all the same"):
        pass
    assert parent_of(recording.one("recorded all the same")) == PARENT


def test_recorded_trace_has_the_id_that_was_sampled(begin, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    recording = begin()
    for _ in range(50):
        with trace.continue_trace(None):
            pass
    low = [span.context.trace_id & (2**64 - 1) for span in recording.all()]
    assert 0 < len(low) < 50 and all(bits < 2**63 for bits in low)


def test_span_records_only_the_type_of_an_error(recording):
    with pytest.raises(OutcomeUnknown), trace.continue_trace(None, "fails"):
        raise OutcomeUnknown("ada@example.com did not answer")
    span = recording.one("fails")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert (dict(span.attributes), span.events) == ({"error.type": "OutcomeUnknown"}, ())


def test_domain_error_does_not_fail_the_span(recording):
    with pytest.raises(DomainError), trace.continue_trace(None, "refused"):
        raise NotFound("payment")
    assert recording.one("refused").status.is_unset


@pytest.mark.parametrize(
    ("method", "route", "status", "name", "failed"),
    [
        ("GET", "/api/orders/{id}", 200, "GET /api/orders/{id}", False),
        ("POST", "/api/orders", 409, "POST /api/orders", False),
        ("POST", "/api/orders", 503, "POST /api/orders", True),
        ("GET", "", 404, "GET", False),
        ("SPY", "", 405, "HTTP", False),
    ],
)
def test_server_span_is_named_by_its_route(recording, method, route, status, name, failed):
    with trace.continue_trace(None) as span:
        span.set_response(method, route, status)
    span = recording.one(name)
    assert span.attributes["http.request.method"] == ("_OTHER" if method == "SPY" else method)
    assert span.attributes.get("http.route") == (route or None)
    assert span.attributes["http.response.status_code"] == status
    assert span.status.is_ok is not failed
    assert span.attributes.get("error.type") == (str(status) if failed else None)


def test_resource_has_the_service_and_otel_attributes(begin, monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other")
    recording = begin()
    with trace.continue_trace(None, "work"):
        pass
    found = recording.one("work").resource.attributes
    assert (found["service.name"], found["deployment.environment.name"]) == ("bells", "test")
    assert found["service.version"] == version("mercato")


def test_deployment_replaces_version_and_adds_its_pod(begin, monkeypatch):
    given = {"service.version": "1.2.3", "k8s.pod.name": "bells-7d4f-x2x9z"}
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", ",".join(f"{name}={value}" for name, value in given.items()))
    recording = begin()
    with trace.continue_trace(None, "work"):
        pass
    found = recording.one("work").resource.attributes
    assert given.items() <= found.items() and found["deployment.environment.name"] == "local"


def test_opened_circuit_is_an_event_of_the_span(recording):
    upstream = Upstream("users", Endpoints("users", lambda: [["127.0.0.1:1"]]), max_calls=2)

    def silent(address):
        raise OutcomeUnknown("no answer")

    for _ in range(5):
        with pytest.raises(OutcomeUnknown), trace.continue_trace(None, "users/verify", "client"):
            upstream.call(silent)
    (event,) = (event for span in recording.all() for event in span.events)
    assert dict(event.attributes) == {"upstream": "users", "circuit_breaker.state": "open"}


@pytest.fixture
def bus(tmp_path, store, fake_clock):
    for collection in (bells, leases, dead_letters.collection, progress):
        collection.attach(store).ensure_indexes()
    engine = SqliteBus(tmp_path / "bus.db")
    engine.ensure_topics([Topic("bells.events", 1), Topic("ears.dead", 1)])
    yield engine
    engine.close()


def test_event_continues_the_trace_of_its_change(bus, recording):
    with trace.continue_trace(SAMPLED, "POST"):
        bells.insert({"_id": "b1", **outbox.new_outbox("b1", Rung(bell="b1"))})
    seen = []
    consumer = Consumer(
        bus.consumer("ears", ["bells.events"]), {Rung: lambda event, meta: seen.append(trace.trace_id())}
    )
    Relay([EmbeddedOutbox("bells", bells)], bus, leases, lease_s=10, poll_s=0.1).step()
    consumer.step(wait_s=0)
    sent, handled = recording.one("send bells.events"), recording.one("process bells.events")
    assert seen == [TRACE]
    assert parent_of(sent) == id_of(recording.one("POST"))
    assert parent_of(handled) == id_of(sent)
    assert (sent.kind.name, handled.kind.name) == ("PRODUCER", "CONSUMER")
    assert dict(handled.attributes) == {
        "messaging.system": "sqlite",
        "messaging.destination.name": "bells.events",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "ears",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "cloudevents.event_type": "bell.rung",
    }


def test_latest_state_event_continues_the_latest_trace(bus, recording):
    now = {"updatedAt": "2030-01-01T00:00:00.000Z", "traceparent": SAMPLED}
    bells.insert({"_id": "b1", **outbox.new_outbox("b1"), "seq": 1, "pending": 1, **now})
    Relay(
        [LatestStateOutbox("bells", bells, lambda doc: Rung(bell=doc["_id"]))], bus, leases, lease_s=10, poll_s=0.1
    ).step()
    assert parent_of(recording.one("send bells.events")) == PARENT


@pytest.mark.parametrize("recorded", [False, True])
def test_event_outside_any_trace_starts_one_for_all_consumers(bus, begin, recorded):
    if recorded:
        begin()
    bells.insert({"_id": "b1", **outbox.new_outbox("b1", Rung(bell="b1"))})
    Relay([EmbeddedOutbox("bells", bells)], bus, leases, lease_s=10, poll_s=0.1).step()
    seen = set()
    for group in ("ears", "eyes"):
        member = bus.consumer(group, ["bells.events"])
        Consumer(member, {Rung: lambda event, meta: seen.add(trace.trace_id())}).step(wait_s=0)
    assert len(seen) == 1 and seen != {""}


def test_redriven_event_continues_its_trace(bus, recording, fake_clock):
    with trace.continue_trace(SAMPLED, "POST"):
        bells.insert({"_id": "b1", **outbox.new_outbox("b1", Rung(bell="b1"))})
    Relay([EmbeddedOutbox("bells", bells)], bus, leases, lease_s=10, poll_s=0.1).step()
    deaf = [True]

    def hear(event, meta):
        if deaf:
            raise ValueError("ada@example.com is deaf")

    consumer = Consumer(bus.consumer("ears", ["bells.events"]), {Rung: hear})
    consumer.step(wait_s=0)
    deaf.clear()
    (dead_letter,) = dead_letters.collection.iterate()
    dead_letters.request_redrive(dead_letter)
    fake_clock.pass_time(2)
    consumer.step(wait_s=0)
    first, again = (span for span in recording.all() if span.name == "process bells.events")
    assert {span.context.trace_id for span in (first, again)} == {int(TRACE, 16)}
    assert parent_of(first) == parent_of(again) == id_of(recording.one("send bells.events"))
    assert (first.attributes["error.type"], again.status.is_unset) == ("ValueError", True)
    assert again.attributes["messaging.kafka.offset"] == first.attributes["messaging.kafka.offset"] == 0
    assert "ada" not in first.to_json()


def test_spans_have_the_declared_ids_of_their_work_alone(begin):
    recording = begin("orderId")
    with trace.continue_trace(None, "request"):
        with trace.span("before"):
            pass
        trace.bind(orderId="o1", userId="u1")
        with trace.span("after"):
            pass
    ids = {span.name: dict(span.attributes) for span in recording.all()}
    assert ids == {"before": {}, "after": {"order.id": "o1"}, "request": {"order.id": "o1"}}


def test_store_operation_is_a_span_of_its_work(recording, store):
    bells.attach(TimedStore(store)).ensure_indexes()
    with trace.continue_trace(SAMPLED, "request"):
        bells.insert({"_id": "b1", "secret": "ada@example.com"})
        with pytest.raises(Duplicate):
            bells.insert({"_id": "b1"})
    found = [span for span in recording.all() if span.name == "insert bells"]
    assert [parent_of(span) for span in found] == [id_of(recording.one("request"))] * 2
    assert {span.kind.name for span in found} == {"CLIENT"} and all(span.status.is_unset for span in found)
    expected = {"db.system.name": "sqlite", "db.operation.name": "insert", "db.collection.name": "bells"}
    assert [dict(span.attributes) for span in found] == [expected] * 2


def test_failed_store_operation_marks_its_span(recording, store):
    bells.attach(TimedStore(store)).ensure_indexes()
    store.fail(at=1, after=False)
    with trace.continue_trace(SAMPLED, "request"), pytest.raises(StoreUnavailable):
        bells.get("b1")
    assert recording.one("get bells").attributes["error.type"] == "StoreUnavailable"


def test_store_records_nothing_outside_a_sampled_trace(recording, store):
    bells.attach(TimedStore(store)).ensure_indexes()
    bells.get("b1")
    with trace.continue_trace(UNSAMPLED, "request"):
        bells.get("b1")
    assert recording.all() == ()
