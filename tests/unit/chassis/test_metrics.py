"""Metrics: the documented ones are the declared ones, and OpenMetrics has exemplars."""

import re
from importlib import import_module
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from chassis.observe import metrics, spans, trace
from chassis.observe.health import Health
from mercato.catalog import catalog
from tests.system.running import free_port

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram)[^|]* \| (.*?)\| (?:sum|max|min) \| \S", re.MULTILINE)


def declared():
    """Return name -> (type, labels) of the metrics of all services."""
    for name in catalog():
        import_module(f"services.{name}.service")
    ours = [each for each in REGISTRY._collector_to_names if isinstance(each, MetricWrapperBase)]
    return {
        each._name + ("_total" if each._type == "counter" else ""): (each._type, tuple(each._labelnames))
        for each in ours
    }


def documented():
    text = (ROOT / "docs" / "metrics.md").read_text()
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(text)}


def test_documented_metrics_equal_the_declared_ones():
    assert documented() == declared()


@pytest.fixture(scope="module")
def address():
    port = free_port()
    Health("bells", lambda: None).serve("127.0.0.1", port)
    return f"http://127.0.0.1:{port}/metrics"


def test_only_sampled_traces_are_exemplars(address, monkeypatch):
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    sampled, unsampled = (f"00-{digit * 32}-{'1' * 16}-0{flag}" for digit, flag in (("a", 1), ("b", 0)))
    assert trace.exemplar(sampled) is None, "there is no recorder"
    recorder = spans.Recorder("bells", InMemorySpanExporter())
    trace.use(recorder)
    try:
        for seconds, parent in ((0.02, sampled), (0.2, unsampled)):
            metrics.requests["GET", "/bells", "200"].observe(seconds, trace.exemplar(parent))
    finally:
        trace.use(None)
        recorder.shutdown()
    asked = Request(address, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urlopen(asked) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        families = {each.name: each for each in text_string_to_metric_families(answer.read().decode())}
    found = [
        sample.exemplar.labels
        for sample in families["http_server_request_duration_seconds"].samples
        if sample.labels.get("http_route") == "/bells" and sample.exemplar
    ]
    assert found == [{"trace_id": "a" * 32}]


def test_text_format_is_the_default(address):
    with urlopen(address) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert b"# {" not in answer.read()
