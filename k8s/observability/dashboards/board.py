"""A dashboard: its variables and annotations, and the places of its panels."""

from typing import Any

from alerts import FIRING, RUNBOOKS
from panels import COLUMNS, PROMETHEUS, Json
from queries import series

Item = Json | list[Json]
"""A panel, or panels one below the other."""


def variable(name: str, label: str, metric: str, current: str, **more: Any) -> Json:
    """Build a variable whose values are those of the label `name` of a metric."""
    query = {"query": f"label_values({metric}, {name})", "refId": name}
    chosen = {"text": current, "value": current}
    kind = {"type": "query", "datasource": PROMETHEUS, "refresh": 2, "sort": 1}
    return {"name": name, "label": label, **kind, "query": query, "current": chosen, **more}


UP = 'up{job="mercato"}'
SOURCES = [
    {"name": name, "label": kind.capitalize(), "type": "datasource", "query": kind}
    for name, kind in {"datasource": "prometheus", "loki": "loki", "jaeger": "jaeger"}.items()
]
CLUSTER = variable("cluster", "Cluster", UP, "All", includeAll=True, allValue=".*") | {
    "current": {"text": "All", "value": "$__all"}
}
NAMESPACE = variable("namespace", "Namespace", 'up{job="mercato", cluster=~"$cluster"}', "mercato")
RUNBOOK_FOLDER = {"name": "runbooks", "type": "constant", "query": RUNBOOKS, "hide": 2}


def annotation(name: str, color: str, expr: str, title: str, **more: Any) -> Json:
    """Build an annotation for each series of a query, while its value is above 0; `more` are fields of Prometheus."""
    target = {"refId": "Anno", "expr": expr, "interval": "15s"}
    shown = {"enable": True, "iconColor": color, "titleFormat": title}
    return {"name": name, "datasource": PROMETHEUS, "target": target, **shown, **more}


STARTED = f"max by (service) ({series('process_start_time_seconds')}) * 1000"
ANNOTATIONS = [
    annotation("Alerts", "red", FIRING, "{{alertname}} {{service}}", tagKeys="severity"),
    annotation("Deployments and restarts", "blue", STARTED, "{{service}} started", useValueForTime=True),
]


def row(title: str, items: list[Item]) -> list[Item]:
    """Build a row: a heading and its panels."""
    return [{"type": "row", "title": title, "collapsed": False, "panels": []}, *items]


def board(uid: str, title: str, rows: list[list[Item]], variables: tuple[Json, ...] = ()) -> Json:
    """Build a dashboard."""
    others: Json = {"title": "Mercato", "type": "dashboards", "tags": ["mercato"], "asDropdown": True}
    return {
        "uid": f"mercato-{uid}",
        "title": f"Mercato: {title}",
        "tags": ["mercato"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [others | {"keepTime": True, "includeVars": True}],
        "annotations": {"list": ANNOTATIONS},
        "templating": {"list": [*SOURCES, CLUSTER, NAMESPACE, *variables, RUNBOOK_FOLDER]},
        "panels": _placed([item for each in rows for item in each]),
    }


def _placed(items: list[Item]) -> list[Json]:
    """Give the panels ids and positions: side by side while they fit, the heading of a row on its own line."""
    x = y = height = 0
    panels: list[Json] = []
    for item in items:
        stack = item if isinstance(item, list) else [item]
        sizes = [panel.get("gridPos") or {"w": COLUMNS, "h": 1} for panel in stack]
        width = sizes[0]["w"]
        if x + width > COLUMNS:
            x, y, height = 0, y + height, 0
        below = y
        for panel, size in zip(stack, sizes, strict=True):
            panels.append(panel | {"id": len(panels) + 1, "gridPos": {"x": x, "y": below, **size}})
            below += size["h"]
        x, height = x + width, max(height, below - y)
    return panels
