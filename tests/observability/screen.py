"""What is red on the first screen of the dashboard *platform*: its queries, on a running Prometheus.

red(prometheus)     # {("Processes down", ""), ("Services", "payments"), ("Firing alerts", "TargetDown"), ...}
"""

import math
from collections.abc import Iterator
from typing import Any

from tests.observability.files import boards, filled
from tests.observability.prometheus import Prometheus

SCREEN = 22
"""Grid rows that a screen of 1080 pixels shows without scrolling."""
_NAMES = ("alertname", "service", "server_address")

Json = dict[str, Any]


def red(prometheus: Prometheus) -> set[tuple[str, str]]:
    """Return (title of the panel, alert or service of the series) of all that is red now; "" for a single number."""
    return {found for panel in first_screen() for found in _red_of(prometheus, panel)}


def first_screen() -> list[Json]:
    """Return the panels that nobody has to scroll for."""
    panels = boards()["overview"]["panels"]
    return [panel for panel in panels if panel["gridPos"]["y"] + panel["gridPos"]["h"] <= SCREEN]


def _red_of(prometheus: Prometheus, panel: Json) -> Iterator[tuple[str, str]]:
    for target in panel["targets"]:
        for labels, value in prometheus.ask(filled(target["expr"])):
            if math.isfinite(value) and _color(panel, target["refId"], labels, value) == "red":
                yield panel["title"], next((labels[name] for name in _NAMES if name in labels), "")


def _color(panel: Json, letter: str, labels: dict[str, str], value: float) -> str:
    """Return the color of a number; that of a row of alerts is the color of its severity."""
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] == "state-timeline":
        return str(defaults["mappings"][0]["options"].get(str(round(value)), {}).get("color", ""))
    if panel["type"] == "table":
        columns = {each["matcher"]["options"]: _properties(each) for each in panel["fieldConfig"]["overrides"]}
        severities = columns.get("Severity", {}).get("mappings", [])
        if severities:
            return str(severities[0]["options"][labels["severity"]]["color"])
        renamed = panel["transformations"][-1]["options"]["renameByName"]
        defaults = columns.get(renamed.get(f"Value #{letter}", ""), {})
    steps = defaults.get("thresholds", {}).get("steps", [])
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return str(passed[-1]) if passed else ""


def _properties(override: Json) -> Json:
    return {each["id"]: each["value"] for each in override["properties"]}
