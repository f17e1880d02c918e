"""The alerts: valid, silent without their fault, firing with it, and each with a page."""

import re
import subprocess

import pytest
import yaml

from tests.charts.rendering import run, tool
from tests.observability.files import FOLDER, PAGES, RULES, alerts, metrics, rules, unknown
from tests.system.running import ROOT

TIMEOUT_S = 400
"""They take five seconds on an idle machine."""
UNIT = sorted((ROOT / "tests" / "observability" / "rules").glob("*.yaml"))
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
    assert "2 rule files found" in done.stdout


@pytest.mark.timeout(TIMEOUT_S + 10)
@pytest.mark.parametrize("path", UNIT, ids=lambda path: path.stem)
def test_rules_fire_as_specified(path):
    command = [tool("promtool"), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_silent_and_a_firing_case():
    cases = [
        case
        for path in UNIT
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
    ]
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    fired = {(case["alertname"], alert["exp_labels"]["severity"]) for case in cases for alert in case["exp_alerts"]}
    assert silent >= set(ALERTS)
    assert fired == {(alert["alert"], alert["labels"]["severity"]) for alert in alerts()}


@pytest.mark.parametrize("name", ALERTS)
def test_alert_has_severity_summary_and_runbook(name):
    for alert in (each for each in alerts() if each["alert"] == name):
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["runbook_url"] == f"docs/operations/{kebab(name)}.md"


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
