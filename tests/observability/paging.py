"""What Alertmanager would send: the routes, groups and inhibition of alertmanager.yml, on snapshots of alerts.

    pager = Pager()
    pager.see(0, [{"alertname": "TargetDown", "severity": "page", "service": "payments", "namespace": "mercato"}])
    pager.see(20, [...])
    pager.sent          # [Notification(at=15, receiver="pager", alerts=(("TargetDown", "payments"),))]

As in Alertmanager, a group is sent `group_wait` after its first alert and looked at again each `group_interval`; it is
sent again if it has an alert that was not in the last notification, or after `repeat_interval`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.observability.files import FOLDER

CONFIGURATION = yaml.safe_load((FOLDER / "alertmanager" / "alertmanager.yml").read_text())
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"?([^"]*)"?$')
_SECONDS = {"s": 1, "m": 60, "h": 3600}

Labels = dict[str, str]
Json = dict[str, Any]


@dataclass(frozen=True)
class Notification:
    """What one receiver gets: the (alert, service) that fire in a group."""

    at: float
    receiver: str
    alerts: tuple[tuple[str, str], ...]


@dataclass
class _Group:
    route: Json
    flush_at: float
    notified: frozenset[tuple[tuple[str, str], ...]] = frozenset()
    notified_at: float = float("-inf")
    firing: list[Labels] = field(default_factory=list)


class Pager:
    """The notifications for the snapshots seen so far; `at` is in seconds and never decreases."""

    def __init__(self, configuration: Json = CONFIGURATION) -> None:
        self._configuration = configuration
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._firing: list[Labels] = []
        self.sent: list[Notification] = []

    def see(self, at: float, firing: list[Labels]) -> None:
        """Take the alerts that fire now."""
        self._flush_until(at)
        self._firing = firing
        for group in self._groups.values():
            group.firing = []
        for labels in firing:
            route, key = self._route_of(labels)
            group = self._groups.setdefault(key, _Group(route, at + seconds(route["group_wait"])))
            group.firing.append(labels)
        self._groups = {key: group for key, group in self._groups.items() if group.firing}
        self._flush_until(at)

    def pages(self) -> list[Notification]:
        """Return what the pager got."""
        return [each for each in self.sent if each.receiver == "pager"]

    def muted(self, labels: Labels, firing: list[Labels]) -> bool:
        """Return whether another firing alert inhibits this one."""
        for rule in self._configuration["inhibit_rules"]:
            if not matches(rule["target_matchers"], labels):
                continue
            for source in firing:
                same = all(source.get(name, "") == labels.get(name, "") for name in rule["equal"])
                # An alert that is on both sides of a rule does not inhibit its own kind.
                on_both = matches(rule["source_matchers"], labels) and matches(rule["target_matchers"], source)
                if same and matches(rule["source_matchers"], source) and not on_both:
                    return True
        return False

    def _route_of(self, labels: Labels) -> tuple[Json, tuple[str, ...]]:
        root = self._configuration["route"]
        route = next((each for each in root["routes"] if matches(each["matchers"], labels)), {})
        merged = {**root, **route}
        return merged, (str(route.get("matchers")), *(labels.get(name, "") for name in merged["group_by"]))

    def _flush_until(self, at: float) -> None:
        for group in self._groups.values():
            while group.flush_at <= at:
                self._flush(group)
                group.flush_at += seconds(group.route["group_interval"])

    def _flush(self, group: _Group) -> None:
        told = [labels for labels in group.firing if not self.muted(labels, self._firing)]
        now = frozenset(tuple(sorted(labels.items())) for labels in told)
        is_due = group.flush_at - group.notified_at >= seconds(group.route["repeat_interval"])
        if told and (now - group.notified or is_due):
            alerts = tuple(sorted((labels["alertname"], labels.get("service", "")) for labels in told))
            self.sent.append(Notification(group.flush_at, group.route["receiver"], alerts))
            group.notified, group.notified_at = now, group.flush_at


def matches(matchers: Iterable[str], labels: Labels) -> bool:
    return all(_matches(matcher, labels) for matcher in matchers)


def named(matchers: Iterable[str], label: str) -> Iterator[str]:
    """Yield the values that matchers list for a label."""
    for matcher in matchers:
        name, _, value = _parsed(matcher)
        if name == label:
            yield from value.split("|")


def seconds(duration: str) -> float:
    """Return a duration such as 15s or 10m."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def _matches(matcher: str, labels: Labels) -> bool:
    name, operator, value = _parsed(matcher)
    found = labels.get(name, "")
    equal = found == value if operator in ("=", "!=") else bool(re.fullmatch(value, found))
    return equal is (operator in ("=", "=~"))


def _parsed(matcher: str) -> tuple[str, str, str]:
    found = _MATCHER.match(matcher)
    assert found, matcher
    name, operator, value = found.groups()
    return name, operator, value
