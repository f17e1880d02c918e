"""The dashboards: sound for Grafana, in step with what writes them, and about metrics that are there."""

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


def test_the_files_are_what_boards_py_writes(tmp_path):
    subprocess.run([sys.executable, str(FOLDER / "dashboards" / "boards.py"), str(tmp_path)], check=True, timeout=60)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in DASHBOARDS}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafana_would_take_it(path):
    command = [sys.executable, tool("dashcheck"), str(path)]  # it needs jsonschema, which we have
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "0 findings" in done.stdout, done.stdout + done.stderr


def test_each_has_a_name_of_its_own_that_stays():
    assert {board["uid"] for board in boards().values()} == {f"mercato-{name}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_which_prometheus_it_asks_can_be_chosen(name):
    board = boards()[name]
    (chosen,) = [each for each in board["templating"]["list"] if each["name"] == "datasource"]
    assert (chosen["type"], chosen["query"]) == ("datasource", "prometheus")
    sources = [target["datasource"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert {source["uid"] for source in sources} <= {"${datasource}", "loki"}


def test_every_query_reads_what_is_told():
    assert {(query.board, query.panel, name) for query in queries() for name in unknown(query.expr)} == set()


def test_every_metric_is_shown():
    assert listed() - {name for query in queries() for name in metrics(query.expr)} == set()


def test_durations_show_their_exemplars():
    for board in boards().values():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                assert ("_bucket" in target["expr"]) == target.get("exemplar", False), panel["title"]


def test_panels_lead_to_traces_and_logs_where_these_are():
    uids = {source["uid"] for source in DATASOURCES}
    for board in boards().values():
        for panel in board["panels"]:
            for link in panel.get("fieldConfig", {}).get("defaults", {}).get("links", []):
                pane = json.loads(unquote(link["url"].partition("panes=")[2]))["a"]
                assert pane["datasource"] in uids
                assert pane["queries"]
            if panel["type"] == "timeseries" and "job=" not in json.dumps(panel):
                assert panel["fieldConfig"]["defaults"].get("links"), panel["title"]


def test_a_dot_leads_to_its_trace_a_line_to_its_trace_and_a_span_to_its_lines():
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
