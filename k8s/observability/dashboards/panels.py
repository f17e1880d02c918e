"""Builders of Grafana panels (classic schema).

timeseries("Orders", "{{outcome}}: " + rate("mercato_orders_total", "outcome"), about="Orders per second.", unit=PER_S)
"""

import json
from typing import Any
from urllib.parse import quote

from looks import REST, steps

Json = dict[str, Any]

PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
LOKI = {"type": "loki", "uid": "${loki}"}
COLUMNS = 24
WIDE = 12
"""Columns from which a legend is beside its panel."""
_SPAN = {"from": "${__from}", "to": "${__to}"}
_LAST = {"calcs": ["lastNotNull"]}


def explore(datasource: str, query: Json) -> str:
    """Return the URL of a query in Grafana's Explore, for the time range shown. `${...}` is not encoded."""
    pane = {"datasource": datasource, "queries": [{"refId": "A", **query}], "range": _SPAN}
    return "/explore?schemaVersion=1&orgId=1&panes=" + quote(json.dumps({"a": pane}), safe="${}.")


def links(service: str) -> list[Json]:
    """Return links to the traces and logs of a service: a name, or a variable of Grafana."""
    return [
        {"title": f"Traces of {service}", "url": explore("${jaeger}", {"queryType": "search", "service": service})},
        {"title": f"Logs of {service}", "url": explore("${loki}", {"expr": f'{{service_name="{service}"}}'})},
    ]


OF_SERIES = "${__field.labels.service}"
"""The service of the clicked series."""


def timeseries(title: str, *queries: str, about: str, unit: str = "short", service: str = "", **more: Any) -> Json:
    """Build a panel of time series. A query is PromQL, or `legend: PromQL`; `service` is that of the links.

    `more` may have `limit`, the value from which the panel is red, `overrides` of series, `width` and `height`.
    """
    fill = 0 if "{{service}}" in queries[0] else 10  # areas of many series hide each other
    custom: Json = {"fillOpacity": fill, "showPoints": "never", "axisSoftMax": REST[unit]}
    defaults: Json = {"unit": unit, "min": 0, "color": {"mode": "palette-classic-by-name"}, "custom": custom}
    if unit == "short":
        defaults["decimals"] = 0  # it counts things
    if service:
        defaults["links"] = links(service)
    if "limit" in more:
        defaults["thresholds"] = steps(more["limit"])
        custom["thresholdsStyle"] = {"mode": "line"}
    legend: Json = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    if len(queries) > 1 or "{{" in queries[0]:
        legend |= {"displayMode": "table", "calcs": ["lastNotNull", "max"], "sortBy": "Last *", "sortDesc": True}
    if more.get("width", 8) >= WIDE:
        legend["placement"] = "right"
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return _panel("timeseries", title, queries, about, defaults, options, **more)


def stat(title: str, *queries: str, about: str, unit: str = "short", **more: Any) -> Json:
    """Build a panel with a number for each query, red from `limit` on or below `least`."""
    defaults: Json = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": steps()}
    if "limit" in more:
        defaults["thresholds"] = steps(more["limit"])
    if "least" in more:
        defaults["thresholds"] = steps(more["least"], "red", "green")
    if "decimals" in more:
        defaults["decimals"] = more["decimals"]
    options = {"colorMode": "value", "graphMode": more.get("graph", "area"), "reduceOptions": _LAST}
    return _panel("stat", title, queries, about, defaults, options, **{"width": 4, "height": 4, **more})


def bars(title: str, *queries: str, about: str, **more: Any) -> Json:
    """Build a panel with a horizontal bar for each whole number."""
    options: Json = {"orientation": "horizontal", "displayMode": "basic", "valueMode": "text", "reduceOptions": _LAST}
    options["text"] = {"titleSize": 12, "valueSize": 14}
    defaults: Json = {"unit": "short", "decimals": 0, "min": 0, "color": {"mode": "fixed", "fixedColor": "blue"}}
    return _panel("bargauge", title, queries, about, defaults, options, **{"width": 6, **more})


def heatmap(title: str, query: str, *, about: str, service: str, **more: Any) -> Json:
    """Build a heatmap of the buckets of a histogram in seconds."""
    options: Json = {"calculate": False, "yAxis": {"unit": "s"}, "exemplars": {"color": "rgba(255,0,255,0.7)"}}
    panel = _panel("heatmap", title, [query], about, {"links": links(service)}, options, **more)
    panel["targets"][0] |= {"format": "heatmap", "legendFormat": "{{le}}"}
    return panel


def states(title: str, query: str, names: dict[int, tuple[str, str]], *, about: str, **more: Any) -> Json:
    """Build a state timeline; `names` has number -> (its name, its color)."""
    texts = {str(value): {"text": text, "color": color, "index": value} for value, (text, color) in names.items()}
    defaults: Json = {
        "mappings": [{"type": "value", "options": texts}],
        "custom": {"fillOpacity": 80, "lineWidth": 0},
    }
    if "service" in more:
        defaults["links"] = links(more["service"])
    options = {"mergeValues": True, "showValue": "auto", "rowHeight": 0.85, "alignValue": "left"}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": False}  # states show their names
    return _panel("state-timeline", title, [query], about, defaults, {**options, "legend": legend}, **more)


def table(title: str, queries: dict[str, str], columns: dict[str, Json], *, about: str, **more: Any) -> Json:
    """Build a table with a row for each combination of labels, in the order of the first column.

    `queries` has column of a value -> PromQL; `columns` has column, from left to right -> properties of its cells, and
    as `of` the label that it shows. `more` may have `empty`, the text without rows.
    """
    values = {f"Value #{letter}": name for letter, name in zip("ABCDEFGH", queries, strict=False)}
    if len(queries) == 1:
        values = {"Value": next(iter(queries))}
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": id, "value": value} for id, value in properties.items() if id != "of"],
        }
        for name, properties in columns.items()
        if properties.keys() - {"of"}
    ]
    sources = {name: source for source, name in values.items()}
    shown = {properties.get("of", sources.get(name, name)): name for name, properties in columns.items()}
    organize = {
        "excludeByName": {"Time": True},
        "indexByName": {source: place for place, source in enumerate(shown)},
        "renameByName": shown,
    }
    transformations = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    options = {"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": next(iter(columns)), "desc": False}]}
    defaults: Json = {"custom": {"align": "auto"}, "noValue": more.get("empty", "-")}
    panel = _panel("table", title, list(queries.values()), about, defaults, options, **more)
    panel["fieldConfig"]["overrides"] = overrides
    for target in panel["targets"]:
        target |= {"format": "table", "instant": True, "range": False}
        for field in ("legendFormat", "exemplar"):
            target.pop(field, None)
    return panel | {"transformations": transformations}


def logs(title: str, query: str, *, about: str) -> Json:
    """Build a panel of log lines from Loki."""
    options = {"showTime": True, "wrapLogMessage": True, "enableLogDetails": True, "sortOrder": "Descending"}
    panel = _panel("logs", title, [query], about, {}, options, width=COLUMNS)
    return panel | {"datasource": LOKI, "targets": [{"refId": "A", "datasource": LOKI, "expr": query}]}


def _panel(kind: str, title: str, queries: Any, about: str, defaults: Json, options: Json, **more: Any) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": PROMETHEUS,
        "gridPos": {"w": more.get("width", 8), "h": more.get("height", 8)},
        "fieldConfig": {"defaults": defaults, "overrides": more.get("overrides", [])},
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
