"""Runs promtool's unit tests of rules against the shipped ones.

Beside promtool's own fields, a test has `silent`: times at which every alert without a case of its own is silent.
"""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.charts.rendering import tool
from tests.observability.files import RULES, alerts, rules_of

TIMEOUT_S = 400
"""They take seconds on an idle machine."""
ALWAYS = {"Watchdog"}
"""Alerts that fire whenever there is a process."""

Json = dict[str, Any]


def check(folder: Path, file: Json, annotations: tuple[str, ...] = ("summary",), alert: str = "") -> None:
    """Run these tests in a folder, and compare only these annotations of the alerts; evaluate this alert alone."""
    tests = [_expanded(test) for test in file["tests"]]
    path = folder / "tests.yaml"
    path.write_text(yaml.safe_dump({**file, **_shipped(folder, annotations, alert), "tests": tests}, sort_keys=False))
    command = [tool("promtool"), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, f"{path}\n{done.stdout}{done.stderr}"


def cases(test: Json) -> list[Json]:
    """Return the cases of alerts in a test, with those of `silent`."""
    listed: list[Json] = test.get("alert_rule_test", [])
    named = {(case["alertname"], case["eval_time"]) for case in listed}
    others = sorted({alert["alert"] for alert in alerts()} - ALWAYS)
    return listed + [
        {"alertname": name, "eval_time": at, "exp_alerts": []}
        for at in test.get("silent", [])
        for name in others
        if (name, at) not in named
    ]


def _expanded(test: Json) -> Json:
    values = [series["values"] for series in test["input_series"]]
    assert all(isinstance(each, str) for each in values), "a plain 0x10 is a number: quote it"
    return {key: value for key, value in test.items() if key != "silent"} | {"alert_rule_test": cases(test)}


def _shipped(folder: Path, annotations: tuple[str, ...], alert: str) -> Json:
    """Write the shipped rules with these annotations, or those of one alert; recording rules are evaluated first."""
    (folder / "rules").mkdir(exist_ok=True)
    groups = []
    for path in RULES:
        file = yaml.safe_load(path.read_text())
        if alert:
            file["groups"] = [
                each | {"rules": wanted} for each in file["groups"] if (wanted := _of(alert, each["rules"]))
            ]
        for rule in (rule for group in file["groups"] for rule in group["rules"] if "alert" in rule):
            rule["annotations"] = {name: rule["annotations"][name] for name in annotations}
        (folder / "rules" / path.name).write_text(yaml.safe_dump(file))
        groups += file["groups"]
    groups.sort(key=lambda group: "alert" in group["rules"][0])
    files = [f"rules/{path.name}" for path in RULES]
    return {"rule_files": files, "group_eval_order": [group["name"] for group in groups]}


def _of(alert: str, group: list[Json]) -> list[Json]:
    """Return the rules of a group that an alert needs."""
    return [rule for rule in group if rule in rules_of(alert)]
