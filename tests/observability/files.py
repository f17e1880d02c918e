"""The dashboards, alerts and configuration of k8s/observability."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from tests.system.running import ROOT

FOLDER = ROOT / "k8s" / "observability"
RULES = sorted((FOLDER / "rules").glob("*.yaml"))
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
PAGES = ROOT / "docs" / "operations"
BUILT_IN = {"up", "ALERTS", "ALERTS_FOR_STATE"}
"""Series that Prometheus itself provides."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One query of a panel; `expr` contains the variables."""

    board: str
    panel: str
    expr: str


@cache
def rules() -> list[Json]:
    """Return the rules of all files; do not change them."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[Json]:
    return [rule for rule in rules() if "alert" in rule]


def rules_of(alert: str) -> list[Json]:
    """Return an alert, under each of its severities, and the recording rules that it reads."""
    found, left = [], [each for each in alerts() if each["alert"] == alert]
    while left:
        found.append(left.pop())
        read = metrics(found[-1]["expr"])
        left += [rule for rule in rules() if rule.get("record") in read and rule not in [*found, *left]]
    return found


def recorded() -> set[str]:
    """Return the series that rules record."""
    return {rule["record"] for rule in rules() if "record" in rule}


def boards() -> dict[str, Json]:
    """Return file name -> dashboard."""
    return {path.stem: json.loads(path.read_text()) for path in DASHBOARDS}


def panels(kind: str = "", board: str = "") -> Iterator[tuple[str, Json]]:
    """Yield (dashboard, panel), without rows; only those of this kind, and of this dashboard."""
    for name, each in boards().items():
        for panel in each["panels"]:
            if panel["type"] != "row" and panel["type"].startswith(kind) and name.startswith(board):
                yield name, panel


def queries() -> Iterator[Query]:
    """Yield the Prometheus queries of all panels."""
    for name, panel in panels():
        for target in panel["targets"]:
            if target["datasource"]["type"] == "prometheus":
                yield Query(name, panel["title"], target["expr"])


def filled(expr: str) -> str:
    """Return a query of a panel with the values of its variables, for all services at once."""
    variables = {"$cluster": ".*", "$namespace": "mercato", "$__rate_interval": "5m", "$__range": "15m"}
    for name, value in variables.items():
        expr = expr.replace(name, value)
    return expr.replace('service="$service"', 'service=~".+"')


def listed() -> set[str]:
    """Return the metrics that docs/metrics.md lists."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def metrics(expr: str) -> set[str]:
    """Return the metrics that a PromQL expression reads; the series of a histogram by its name."""
    for removed in (r'"[^"]*"', r"\{[^}]*\}", r"\[[^\]]*\]", r"\b(?:by|without|on|ignoring|group_\w+)\s*\([^)]*\)"):
        expr = re.sub(removed, " ", expr)
    words = re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?![\w:])(?!\s*\()", expr)
    names = {word for word in words if word not in ("and", "or", "unless", "bool", "offset")}
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def unknown(expr: str) -> set[str]:
    """Return the metrics that an expression reads and nothing exports; those of Prometheus and the collector exist."""
    standard = re.compile(r"process_|python_gc_|python_info$|prometheus_rule_|otelcol_")
    return {name for name in metrics(expr) - listed() - recorded() - BUILT_IN if not standard.match(name)}
