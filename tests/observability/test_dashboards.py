"""The dashboards: valid for Grafana, up to date with their source, for one platform, with readable panels."""

import json
import re
import subprocess
import sys
from collections import Counter
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from tests.charts.rendering import of_kind, rendered, run, tool
from tests.observability.files import (
    DASHBOARDS,
    FOLDER,
    Json,
    alerts,
    boards,
    filled,
    listed,
    metrics,
    panels,
    queries,
    unknown,
)
from tests.system.running import ROOT

NAMES = list(boards())
DATASOURCES = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text())["datasources"]
PLACE = 'job="mercato", cluster=~"$cluster", namespace=~"$namespace"'
FIRST_SCREEN = 22
"""Units of height that a screen of 1600 x 1000 pixels shows."""
OF_PROMETHEUS = {"titleFormat", "tagKeys", "useValueForTime"}
"""Fields of an annotation that Grafana's Prometheus data source reads; Grafana publishes no schema of them."""


def test_files_equal_the_output_of_boards_py(tmp_path):
    subprocess.run([sys.executable, str(FOLDER / "dashboards" / "boards.py"), str(tmp_path)], check=True, timeout=60)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in DASHBOARDS}


@pytest.mark.parametrize("name", NAMES)
def test_dashboard_is_valid_for_grafana(name, tmp_path):
    board = boards()[name]
    for annotation in board["annotations"]["list"]:
        assert annotation.pop("target").keys() == {"refId", "expr", "interval"}
        for field in OF_PROMETHEUS & annotation.keys():
            del annotation[field]
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(board))
    command = [sys.executable, tool("dashcheck"), str(path)]  # run by this Python, which has jsonschema
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "0 findings" in done.stdout, done.stdout + done.stderr


def test_each_dashboard_has_a_stable_uid():
    assert {board["uid"] for board in boards().values()} == {f"mercato-{name}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_variables_choose_data_sources_cluster_and_namespace(name):
    board = boards()[name]
    variables = {each["name"]: each for each in board["templating"]["list"]}
    for variable, kind in {"datasource": "prometheus", "loki": "loki", "jaeger": "jaeger"}.items():
        assert (variables[variable]["type"], variables[variable]["query"]) == ("datasource", kind)
    assert 'job="mercato"' in variables["cluster"]["query"]["query"]
    assert variables["cluster"]["allValue"] == ".*"  # a series without this label, too
    assert "$cluster" in variables["namespace"]["query"]["query"]
    assert set(_values(board, "uid")) == {board["uid"], "${datasource}"} | ({"${loki}"} if name == "service" else set())


def test_each_query_selects_its_platform():
    for query in queries():
        selectors = re.findall(r"([\w:]+)?\{([^}]*)\}", query.expr)
        assert len(selectors) >= len(metrics(query.expr)) > 0, query
        for metric, labels in selectors:
            if metric.startswith("ALERTS"):
                assert 'alertname=~"' in labels and 'namespace=~"$namespace|"' in labels, query
            else:
                assert labels.startswith(PLACE), query


def test_queries_read_known_metrics():
    assert {(query.board, query.panel, name) for query in queries() for name in unknown(query.expr)} == set()


def test_every_metric_has_a_panel():
    assert listed() - {name for query in queries() for name in metrics(query.expr)} == set()


def test_panels_have_their_own_title_and_a_description():
    titles = Counter(panel["title"] for _, panel in panels())
    assert [title for title, count in titles.items() if count > 1] == []
    assert [panel["title"] for _, panel in panels() if not panel["description"].endswith(".")] == []


def test_axis_of_zeros_is_small():
    for _, panel in panels("timeseries"):
        field = panel["fieldConfig"]["defaults"]
        assert field["min"] == 0, panel["title"]
        assert field["custom"]["axisSoftMax"] <= {"short": 1, "bytes": 1024}.get(field["unit"], 0.01), panel["title"]


def test_legend_of_several_series_is_a_table_with_last_and_max():
    for _, panel in panels("timeseries"):
        several = len(panel["targets"]) > 1 or "{{" in panel["targets"][0]["legendFormat"]
        legend = panel["options"]["legend"]
        assert not several or (legend["displayMode"], legend["calcs"]) == ("table", ["lastNotNull", "max"])


@pytest.mark.parametrize(
    ("title", "series", "color"),
    [
        ("Responses by status", "200", "green"),
        ("Responses by status", "404", "orange"),
        ("Responses by status", "503", "red"),
        ("Orders by outcome", "confirmed", "green"),
        ("Outcomes of orders", "rejected", "orange"),
        ("Outcomes of payments", "refused", "orange"),
    ],
)
def test_outcome_has_its_color_on_every_panel(title, series, color):
    found = {panel["title"]: _color(panel, series) for _, panel in panels()}
    assert found[title] == color
    assert set(found.values()) == {"", color}


def test_each_step_of_the_checkout_has_its_own_color():
    (panel,) = [panel for _, panel in panels() if panel["title"] == "Open sagas by step"]
    contract = yaml.safe_load((ROOT / "services" / "orders" / "contract" / "sagas.yaml").read_text())
    steps = {each["name"] for version in contract["definitions"]["checkout"].values() for each in version["steps"]}
    assert len({_color(panel, step) for step in steps} - {"", "red"}) == len(steps)


def test_money_has_a_currency_and_counts_are_whole():
    (revenue,) = [panel for _, panel in panels() if panel["title"] == "Revenue per hour"]
    units = {each["matcher"]["options"]: each["properties"] for each in revenue["fieldConfig"]["overrides"]}
    assert units["EUR"] == [{"id": "unit", "value": "currency:EUR "}, {"id": "decimals", "value": 2}]
    assert units["JPY"][1]["value"] == 0
    for _, panel in panels("bargauge"):
        assert panel["fieldConfig"]["defaults"]["decimals"] == 0
        assert all(target["expr"].startswith("round(") for target in panel["targets"])


def test_first_screen_shows_orders_alerts_services_sagas_and_breakers():
    seen = [p for _, p in panels(board="overview") if p["gridPos"]["y"] + p["gridPos"]["h"] <= FIRST_SCREEN]
    kinds = {panel["title"]: panel["type"] for panel in seen}
    assert kinds["Firing alerts"] == kinds["Services"] == "table"
    assert kinds["Circuit breakers"] == "state-timeline"
    assert {"Orders now and an hour ago", "Open sagas by step", "Availability budget left"} <= kinds.keys()
    assert not any(panel["type"] == "row" for panel in seen)


@pytest.mark.parametrize("title", ["Availability budget left", "Checkout budget left"])
@pytest.mark.parametrize(("recorded", "left"), [({"values": "0x10"}, [1]), (None, [])])
def test_budget_is_whole_without_traffic_and_unknown_without_rules(title, recorded, left, tmp_path):
    (panel,) = [panel for _, panel in panels("stat") if panel["title"] == title]
    expr = filled(panel["targets"][0]["expr"])
    names = metrics(expr) if recorded else ()
    series = [{"series": f'{name}{{job="mercato", namespace="mercato"}}', **recorded} for name in names]
    samples = [{"labels": "{}", "value": value} for value in left]
    asked = {"expr": expr, "eval_time": "5m", "exp_samples": samples}
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"tests": [{"input_series": series, "promql_expr_test": [asked]}]}))
    done = run("promtool", "test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_firing_alert_links_to_its_runbook():
    (panel,) = [panel for _, panel in panels() if panel["title"] == "Firing alerts"]
    cells = {each["matcher"]["options"]: each["properties"] for each in panel["fieldConfig"]["overrides"]}
    runbook = {each["id"]: each["value"] for each in cells["Runbook"]}
    (link,) = runbook["links"]
    (mapping,) = runbook["mappings"]
    base = _variable("overview", "runbooks")["query"]
    for alert in alerts():
        if alert["alert"] != "Watchdog":
            text = mapping["options"][alert["alert"]]["text"]
            url = link["url"].replace("${runbooks}", base).replace("${__value.text}", text)
            assert url == alert["annotations"]["runbook_url"]
            assert re.search(rf'[|"]{alert["alert"]}[|"]', panel["targets"][0]["expr"])


def test_service_links_to_its_dashboard_with_all_variables():
    (panel,) = [panel for _, panel in panels() if panel["title"] == "Services"]
    (url,) = [url for url in _values(panel, "url") if url.startswith("/d/")]
    assert url.startswith(f"/d/{boards()['service']['uid']}/?")
    passed = set(re.findall(r"\$\{(\w+):queryparam\}", url)) | set(re.findall(r"var-(\w+)=", url))
    assert passed == {each["name"] for each in boards()["service"]["templating"]["list"]} - {"runbooks"}


@pytest.mark.parametrize("name", NAMES)
def test_alerts_and_deployments_are_annotations(name):
    queries = {each["iconColor"]: each["target"]["expr"] for each in boards()[name]["annotations"]["list"]}
    assert queries["red"].startswith('ALERTS{alertstate="firing"')
    assert "process_start_time_seconds" in queries["blue"]


def test_panels_of_durations_show_exemplars():
    for _, panel in panels():
        for target in panel["targets"]:
            of_buckets = "_bucket" in target["expr"] and panel["type"] != "table"
            assert of_buckets == target.get("exemplar", False), panel["title"]


def test_panels_link_to_traces_and_logs():
    for _, panel in panels():
        links = panel["fieldConfig"]["defaults"].get("links", [])
        panes = [json.loads(unquote(link["url"].partition("panes=")[2]))["a"] for link in links]
        assert all(pane["queries"] for pane in panes)
        if panel["type"] in ("timeseries", "heatmap"):
            assert [pane["datasource"] for pane in panes] == ["${jaeger}", "${loki}"], panel["title"]


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


def test_chart_ships_the_dashboards_on_request():
    shipped = {
        name: json.loads(text)
        for each in of_kind(rendered("production"), "ConfigMap").values()
        if each["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in each["data"].items()
    }
    assert shipped.keys() == {f"mercato-{path.name}" for path in DASHBOARDS}
    for path in DASHBOARDS:
        (runbooks,) = [v for v in shipped[f"mercato-{path.name}"]["templating"]["list"] if v["name"] == "runbooks"]
        assert runbooks["query"] == "https://docs.shop.example/operations"
        runbooks["query"] = _variable(path.stem, "runbooks")["query"]
        assert shipped[f"mercato-{path.name}"] == json.loads(path.read_text())
    plain = of_kind(rendered(), "ConfigMap").values()
    assert not any("grafana_dashboard" in each["metadata"]["labels"] for each in plain)


def _variable(board: str, name: str) -> Json:
    (found,) = [each for each in boards()[board]["templating"]["list"] if each["name"] == name]
    return found


def _color(panel: Json, series: str) -> str:
    """Return the color that overrides give a series, the last one if there are several."""
    found = ""
    for override in panel["fieldConfig"]["overrides"]:
        matcher, wanted = override["matcher"], override["matcher"]["options"]
        hit = re.search(wanted.strip("/"), series) if matcher["id"] == "byRegexp" else wanted == series
        if hit:
            found = next(
                (each["value"]["fixedColor"] for each in override["properties"] if each["id"] == "color"), found
            )
    return found


def _values(value: Any, key: str) -> list[Any]:
    """Return the values of this key at any depth."""
    if isinstance(value, list):
        return [found for each in value for found in _values(each, key)]
    if isinstance(value, dict):
        here = [value[key]] if key in value else []
        return here + [found for each in value.values() for found in _values(each, key)]
    return []
