"""Alerts on recorded series that continue at their rate: evaluated by promtool with the shipped rules.

before = recorded(prometheus, "SagaOld", 60)
...                                                  # the fault
during = recorded(prometheus, "SagaOld", 20)
check(folder, "SagaOld", Stage(before, 900), Stage(during, 600, ({"severity": "page", ...},)))
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.observability import promtool
from tests.observability.files import rules_of
from tests.observability.prometheus import Prometheus

Labels = dict[str, str]


@dataclass(frozen=True)
class Course:
    """The course of a series: its first value, and its growth per second."""

    first: float
    growth: float


@dataclass(frozen=True)
class Stage:
    """A time in seconds for which series continue as recorded; at its end exactly these alerts fire."""

    series: dict[str, Course]
    seconds: int
    firing: tuple[Labels, ...] = ()


def expressions(alert: str) -> str:
    """Return the expressions of an alert and of the recording rules that it reads."""
    return "".join(rule["expr"] for rule in rules_of(alert))


def recorded(prometheus: Prometheus, alert: str, seconds: float) -> dict[str, Course]:
    """Return series -> course in the last seconds, for all live series that the alert depends on."""
    now, courses = time.time(), {}
    words = "|".join(re.findall(r"[a-z_]+", expressions(alert)))  # among which are the names of its metrics
    span = {"start": str(now - seconds), "end": str(now), "step": "1"}
    for each in prometheus.get("query_range", query=f'{{__name__=~"{words}"}}', **span)["result"]:
        (began, first), (ended, last) = ((at, float(value)) for at, value in (each["values"][0], each["values"][-1]))
        if ended > now - 1:
            name = each["metric"].pop("__name__")
            courses[selector(name, each["metric"])] = Course(first, (last - first) / max(ended - began, 1))
    return courses


def check(folder: Path, alert: str, *stages: Stage, every: int = 15) -> None:
    """Check with promtool which alerts fire at the end of each stage, evaluating the rules every `every` seconds."""
    step, at, cases = min(every, 120), 0, []
    for stage in stages:
        at += stage.seconds
        firing = [{"exp_labels": labels} for labels in stage.firing]
        cases.append({"alertname": alert, "eval_time": f"{at - every}s", "exp_alerts": firing})
    series = [{"series": name, "values": " ".join(values(name, stages, step))} for name in names(stages)]
    test = {"interval": f"{step}s", "input_series": series, "alert_rule_test": cases}
    assert series
    promtool.check(folder, {"evaluation_interval": f"{every}s", "tests": [test]}, annotations=(), alert=alert)


def names(stages: tuple[Stage, ...]) -> list[str]:
    return sorted({name for stage in stages for name in stage.series})


def values(name: str, stages: tuple[Stage, ...], step: int) -> Iterator[str]:
    """Yield the values of a series in promtool's notation. Counters continue; a missing series is stale."""
    counts, now = re.search(r"_(total|count|bucket)\{", name), 0.0
    for stage in stages:
        course, more = stage.series.get(name), stage.seconds // step - 1
        if course is None:
            yield f"stale _x{more}"
        else:
            now = max(now, course.first) if counts else course.first
            yield f"{now:.9f}{course.growth * step:+.9f}x{more}"
            now += course.growth * step * more


def selector(name: str, labels: Labels) -> str:
    return name + "{" + ", ".join(f"{label}={json.dumps(value)}" for label, value in sorted(labels.items())) + "}"
