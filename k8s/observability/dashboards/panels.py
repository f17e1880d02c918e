"""Builders of Grafana panels (classic schema), laid out from left to right.

board("checkout", "Checkout", [row("Funnel", [stat("Orders", 'sum(increase(mercato_orders_total[$__range]))')])])
"""

import json
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]

PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
LOKI = {"type": "loki", "uid": "loki"}
COLUMNS = 24
_SPAN = {"from": "${__from}", "to": "${__to}"}


def explore(datasource: str, query: Json) -> str:
    """Return the URL of a query in Grafana's Explore, for the time range shown. `${...}` is not encoded."""
    pane = {"datasource": datasource, "queries": [{"refId": "A", **query}], "range": _SPAN}
    return "/explore?schemaVersion=1&orgId=1&panes=" + quote(json.dumps({"a": pane}), safe="${}.")


def links(service: str) -> list[Json]:
    """Return links to the traces and logs of a service: a name, or a variable of Grafana."""
    return [
        {"title": f"Traces of {service}", "url": explore("jaeger", {"queryType": "search", "service": service})},
        {"title": f"Logs of {service}", "url": explore("loki", {"expr": f'{{service_name="{service}"}}'})},
    ]


OF_SERIES = "${__field.labels.service}"
"""The service of the clicked series."""


def timeseries(title: str, *queries: str, unit: str = "short", service: str = "", width: int = 8, **more: Any) -> Json:
    """Build a panel of time series. A query is PromQL, or `legend: PromQL`; `service` is that of the links.

    `more` has `limit`, the value from which the panel is red, and `about`, its description.
    """
    defaults: Json = {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
    if service:
        defaults["links"] = links(service)
    if "limit" in more:
        defaults["thresholds"] = _thresholds(more["limit"])
        defaults["custom"]["thresholdsStyle"] = {"mode": "line"}
    options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return _panel("timeseries", title, queries, width, {"defaults": defaults}, options, more.get("about", ""))


def stat(title: str, *queries: str, unit: str = "short", width: int = 4, **more: Any) -> Json:
    """Build a panel with one number, red from `limit` on or below `least`."""
    defaults: Json = {"unit": unit}
    if "limit" in more:
        defaults["thresholds"] = _thresholds(more["limit"])
    if "least" in more:
        defaults["thresholds"] = _thresholds(more["least"], "red", "green")
    if "decimals" in more:
        defaults["decimals"] = more["decimals"]
    options = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return _panel("stat", title, queries, width, {"defaults": defaults}, options, more.get("about", ""), height=4)


def bars(title: str, *queries: str, unit: str = "short", width: int = 12, about: str = "") -> Json:
    """Build a panel with a horizontal bar for each query."""
    options = {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}}
    field: Json = {"defaults": {"unit": unit, "min": 0, "color": {"mode": "continuous-BlPu"}}}
    return _panel("bargauge", title, queries, width, field, options, about)


def heatmap(title: str, query: str, service: str, width: int = 12) -> Json:
    """Build a heatmap of the buckets of a histogram in seconds."""
    options: Json = {"calculate": False, "yAxis": {"unit": "s"}, "exemplars": {"color": "rgba(255,0,255,0.7)"}}
    panel = _panel("heatmap", title, [query], width, {"defaults": {"links": links(service)}}, options, "")
    panel["targets"][0] |= {"format": "heatmap", "legendFormat": "{{le}}"}
    return panel


def logs(title: str, query: str) -> Json:
    """Build a panel of log lines from Loki."""
    options = {"showTime": True, "wrapLogMessage": True, "enableLogDetails": True, "sortOrder": "Descending"}
    panel = _panel("logs", title, [query], COLUMNS, {"defaults": {}}, options, "")
    return panel | {"datasource": LOKI, "targets": [{"refId": "A", "datasource": LOKI, "expr": query}]}


def row(title: str, panels: list[Json]) -> list[Json]:
    """Build a row: a heading and its panels."""
    return [{"type": "row", "title": title, "collapsed": False, "panels": []}, *panels]


def board(uid: str, title: str, rows: list[list[Json]], variables: tuple[Json, ...] = ()) -> Json:
    """Build a dashboard; its variable `datasource` chooses the Prometheus."""
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    others: Json = {"title": "Mercato", "type": "dashboards", "tags": ["mercato"], "asDropdown": True, "keepTime": True}
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
        "links": [others],
        "templating": {"list": [datasource, *variables]},
        "panels": _placed([panel for each in rows for panel in each]),
    }


def _panel(
    kind: str, title: str, queries: Any, width: int, field: Json, options: Json, about: str, **size: int
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": PROMETHEUS,
        "gridPos": {"w": width, "h": size.get("height", 8)},
        "fieldConfig": {"overrides": [], **field},
        "options": options,
        "targets": [_target(number, query) for number, query in enumerate(queries)],
    }


def _target(number: int, query: str) -> Json:
    legend, colon, expression = query.partition(": ")
    target: Json = {"refId": "ABCDEFGH"[number], "datasource": PROMETHEUS, "expr": expression if colon else query}
    target["legendFormat"] = legend if colon else "__auto"
    if "_bucket" in query:
        target["exemplar"] = True  # dots that link to their traces
    return target


def _thresholds(value: float, below: str = "green", above: str = "red") -> Json:
    return {"mode": "absolute", "steps": [{"color": below, "value": None}, {"color": above, "value": value}]}


def _placed(panels: list[Json]) -> list[Json]:
    """Give the panels ids and positions: side by side while they fit, the heading of a row on its own line."""
    x = y = height = 0
    for id, panel in enumerate(panels, 1):
        size = panel.get("gridPos") or {"w": COLUMNS, "h": 1}
        if x + size["w"] > COLUMNS:
            x, y, height = 0, y + height, 0
        panel["id"], panel["gridPos"] = id, {"x": x, "y": y, **size}
        x, height = x + size["w"], max(height, size["h"])
    return panels
