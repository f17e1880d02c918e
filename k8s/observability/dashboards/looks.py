"""Units, colors and thresholds that panels share."""

from typing import Any

Json = dict[str, Any]

PER_S, CORES, TIMES, MONEY = "suffix: /s", "suffix: cores", "suffix:x", "none"
REST = dict.fromkeys([PER_S, "reqps", "ops", CORES, TIMES, "s"], 0.001)
REST |= {"percentunit": 0.0001, MONEY: 0.01, "bytes": 1024, "short": 1}
"""Unit -> end of the axis while all values are 0; Grafana's own is 100, which is 10,000 % of a share."""

CIRCUIT = {0: ("closed", "green"), 1: ("half-open", "yellow"), 2: ("open", "red")}
"""State of a circuit breaker -> its name and color."""

_COLORS = {
    r"\b2\d\d\b": "green",
    r"\b3\d\d\b": "blue",
    r"\b4\d\d\b": "orange",
    r"\b5\d\d\b": "red",
    r"\b(placed|started)\b": "blue",
    r"\b(confirmed|captured|done|handled|sent)\b": "green",
    r"\b(rejected|refused)\b": "orange",
    r"\b(cancelled|undone|returned|refunded|released)\b": "purple",
    r"\b(failed|unknown|parked|expired|bounced|unavailable|not sent)\b": "red",
    r"\b(shipped|reserved|skipped)\b": "super-light-blue",
    r"\b(delivered|retried|deferred)\b": "yellow",
}
"""Pattern of the name of a series -> its color: the same one on every panel."""

STEPS = {
    "place": "super-light-blue",
    "check buyer": "light-blue",
    "reserve stock": "blue",
    "take payment": "purple",
    "confirm stock": "light-green",
    "confirm order": "green",
}
"""Step of the checkout -> color of its series; none looks like a failure."""


def outcomes() -> list[Json]:
    """Return the overrides that give series named after a status or an outcome their color."""
    return [_override("byRegexp", f"/{pattern}/", "shades", color) for pattern, color in _COLORS.items()]


def named(colors: dict[str, str]) -> list[Json]:
    """Return the overrides that give the series of these names their color."""
    return [_override("byName", name, "fixed", color) for name, color in colors.items()]


def steps(limit: float | None = None, below: str = "green", above: str = "red") -> Json:
    """Return thresholds: one color below the limit, another one from it on."""
    found: list[Json] = [{"color": below, "value": None}]
    if limit is not None:
        found.append({"color": above, "value": limit})
    return {"mode": "absolute", "steps": found}


def _override(matcher: str, name: str, mode: str, color: str) -> Json:
    properties = [{"id": "color", "value": {"mode": mode, "fixedColor": color}}]
    return {"matcher": {"id": matcher, "options": name}, "properties": properties}
