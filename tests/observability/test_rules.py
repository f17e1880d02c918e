"""The alerts: valid, silent without their fault, firing with it, and each with a page."""

import re

import pytest
import yaml

from tests.charts.rendering import SAMPLES, of_kind, rendered, run
from tests.observability import promtool
from tests.observability.files import (
    FOLDER,
    PAGES,
    RULES,
    alerts,
    boards,
    metrics,
    rules,
    unknown,
)
from tests.system.running import ROOT

RUNBOOKS, GRAFANA = "https://mercato.example/docs/operations", "http://127.0.0.1:3000"
"""Addresses that the values of the chart replace."""
UNIT = sorted((ROOT / "tests" / "observability" / "rules").glob("*.yaml"))
SELECTOR = re.compile(r"(?<![\w:])([a-z_]+(?::[a-z_0-9]+)*)\{([^}]*)\}")
STACK = {"CollectorRefusesData", "MonitoringDown"}
"""Alerts on the tools of k8s/observability."""
ALERTS = sorted({alert["alert"] for alert in alerts()})


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def test_rules_pass_promtool_check():
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("scrape", ["kubernetes", "compose"])
def test_configuration_passes_promtool_check(scrape, tmp_path):
    for name in ("rules", "scrape"):
        (tmp_path / name).mkdir()
    for path in RULES:
        (tmp_path / "rules" / path.name).write_text(path.read_text())
    (tmp_path / "scrape" / "one.yaml").write_text((FOLDER / "prometheus" / "scrape" / f"{scrape}.yaml").read_text())
    (tmp_path / "prometheus.yml").write_text((FOLDER / "prometheus" / "prometheus.yml").read_text())
    done = run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rule files found" in done.stdout


@pytest.mark.timeout(promtool.TIMEOUT_S + 10)
@pytest.mark.parametrize("path", UNIT, ids=lambda path: path.stem)
def test_rules_fire_as_specified(path, tmp_path):
    promtool.check(tmp_path, yaml.safe_load(path.read_text()))


def test_each_alert_has_a_silent_and_a_firing_case():
    cases = [
        case for path in UNIT for test in yaml.safe_load(path.read_text())["tests"] for case in promtool.cases(test)
    ]
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    fired = {(case["alertname"], alert["exp_labels"]["severity"]) for case in cases for alert in case["exp_alerts"]}
    assert silent >= set(ALERTS)
    assert fired == {(alert["alert"], alert["labels"]["severity"]) for alert in alerts()}


@pytest.mark.parametrize("name", ALERTS)
def test_alert_has_severity_summary_and_runbook(name):
    for alert in (each for each in alerts() if each["alert"] == name):
        annotations = alert["annotations"]
        assert annotations.keys() == {"summary", "description", "dashboard_url", "runbook_url"}
        assert alert["labels"]["severity"] == ("none" if name == "Watchdog" else alert["labels"]["severity"])
        assert alert["labels"]["severity"] in ("page", "ticket", "none")
        assert annotations["runbook_url"] == f"{RUNBOOKS}/{kebab(name)}.md"
        address, _, uid = annotations["dashboard_url"].partition("?")[0].partition("/d/")
        assert address == GRAFANA
        assert uid in {board["uid"] for board in boards().values()}
        for text in annotations.values():
            assert "three days" not in text, "it would be wrong in the first minute of a fault"


def test_each_alert_has_a_page_in_the_index():
    pages = {path.name for path in PAGES.glob("*.md") if "\n## What it means\n" in path.read_text()}
    assert pages == {f"{kebab(name)}.md" for name in ALERTS}
    index = (PAGES / "README.md").read_text()
    assert {name for name in ALERTS if f"[{name}]({kebab(name)}.md)" not in index} == set()


@pytest.mark.parametrize("name", ALERTS)
def test_page_has_the_three_sections(name):
    text = (PAGES / f"{kebab(name)}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["What it means", "What to look at", "What to do"]
    assert re.search(r"```\n.*\b(mercato|kubectl)\b", text, re.DOTALL)


def test_rules_read_known_metrics():
    assert {name for rule in rules() for name in unknown(rule["expr"])} == set()
    assert len({name for rule in rules() for name in metrics(rule["expr"])}) > 15


def test_every_query_selects_its_job():
    """A cluster has other targets, and series of the same names from other releases."""
    for rule in rules():
        selectors = dict(SELECTOR.findall(rule["expr"]))
        read = {re.sub(r"_(bucket|count|sum)$", "", name) for name in selectors}
        assert read == metrics(rule["expr"]), rule["expr"]
        job = "observability" if rule.get("alert") in STACK else "mercato"
        for name, matchers in selectors.items():
            assert f'job="{job}"' in matchers or name == "prometheus_rule_evaluation_failures_total", rule["expr"]


def test_chart_ships_the_same_rules_for_its_namespace_and_addresses(tmp_path):
    values = yaml.safe_load(SAMPLES["production"].read_text())["monitoring"]["rules"]
    (shipped,) = of_kind(rendered("production"), "PrometheusRule").values()
    text = "\n".join(path.read_text() for path in RULES if path.stem != "stack")
    for plain, own in (
        (RUNBOOKS, values["runbooks"]),
        (GRAFANA, values["grafana"]),
        ('job="mercato"', 'job="mercato", namespace="mercato"'),
    ):
        assert own != plain
        text = text.replace(plain, own)
    expected = [
        group for part in re.split(r"^groups:", text, flags=re.M)[1:] for group in yaml.safe_load(f"g:{part}")["g"]
    ]
    assert shipped["spec"] == {"groups": expected}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(shipped["spec"]))
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    (monitor,) = of_kind(rendered("production"), "PodMonitor").values()
    assert shipped["metadata"]["labels"] == monitor["metadata"]["labels"], "the operator selects both"


def test_chart_ships_no_rules_by_default():
    assert not of_kind(rendered(), "PrometheusRule")
