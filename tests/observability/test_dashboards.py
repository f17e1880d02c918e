"""The dashboards: valid for Grafana, up to date with their source, with queries of known metrics."""

import json
import subprocess
import sys
from urllib.parse import unquote

import pytest
import yaml

from tests.charts.rendering import tool
from tests.observability.files import DASHBOARDS, FOLDER, boards, listed, metrics, queries, unknown

NAMES = list(boards())
DATASOURCES = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text())["datasources"]


def test_files_equal_the_output_of_boards_py(tmp_path):
    subprocess.run([sys.executable, str(FOLDER / "dashboards" / "boards.py"), str(tmp_path)], check=True, timeout=60)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in DASHBOARDS}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard_is_valid_for_grafana(path):
    command = [sys.executable, tool("dashcheck"), str(path)]  # run by this Python, which has jsonschema
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "0 findings" in done.stdout, done.stdout + done.stderr


def test_each_dashboard_has_a_stable_uid():
    assert {board["uid"] for board in boards().values()} == {f"mercato-{name}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_datasource_is_a_variable(name):
    board = boards()[name]
    (chosen,) = [each for each in board["templating"]["list"] if each["name"] == "datasource"]
    assert (chosen["type"], chosen["query"]) == ("datasource", "prometheus")
    sources = [target["datasource"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert {source["uid"] for source in sources} <= {"${datasource}", "loki"}


def test_queries_read_known_metrics():
    assert {(query.board, query.panel, name) for query in queries() for name in unknown(query.expr)} == set()


def test_every_metric_has_a_panel():
    assert listed() - {name for query in queries() for name in metrics(query.expr)} == set()


def test_panels_of_durations_show_exemplars():
    for board in boards().values():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                assert ("_bucket" in target["expr"]) == target.get("exemplar", False), panel["title"]


def test_panels_link_to_traces_and_logs():
    uids = {source["uid"] for source in DATASOURCES}
    for board in boards().values():
        for panel in board["panels"]:
            for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", []):
                pane = json.loads(unquote(link["url"].partition("panes=")[2]))["a"]
                assert pane["datasource"] in uids
                assert pane["queries"]
            if panel["type"] == "timeseries" and "job=" not in json.dumps(panel):
                assert panel["fieldConfig"]["defaults"].get("links"), panel["title"]


def test_datasources_link_exemplars_spans_and_log_lines():
    by = {source["type"]: source["jsonData"] for source in DATASOURCES}
    uids = {source["uid"] for source in DATASOURCES}
    (exemplar,) = by["prometheus"]["exemplarTraceIdDestinations"]
    assert exemplar["name"] == "trace_id"
    (derived,) = by["loki"]["derivedFields"]
    assert (derived["matcherType"], derived["matcherRegex"]) == ("label", "trace_id")
    assert {
        exemplar["datasourceUid"],
        derived["datasourceUid"],
        by["jaeger"]["tracesToLogsV2"]["datasourceUid"],
    } <= uids
