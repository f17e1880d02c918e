"""An evaluation of the rendered NetworkPolicies: which pods may connect to which."""

from typing import Any

from tests.charts.rendering import Doc, is_test, of_kind, pods

HERE = "mercato"


class World:
    """The pods of a rendered chart and of others; a place is (namespace, labels)."""

    def __init__(self, docs: list[Doc]) -> None:
        self.pods = {
            name: (HERE, pod["metadata"]["labels"]) for name, pod in pods(docs).items() if not is_test(_of(docs, name))
        }
        self._policies = [doc["spec"] for doc in of_kind(docs, "NetworkPolicy").values() if not is_test(doc)]

    def may(self, source: tuple[str, Doc], target: tuple[str, Doc], port: int) -> bool:
        """Return whether the policies allow egress at the source and ingress at the target."""
        return self._allowed(source, "Egress", target, port) and self._allowed(target, "Ingress", source, port)

    def _allowed(self, place: tuple[str, Doc], way: str, peer: tuple[str, Doc], port: int) -> bool:
        ours = [
            policy
            for policy in self._policies
            if place[0] == HERE and way in policy["policyTypes"] and _matches(policy["podSelector"], place[1])
        ]
        rules = [rule for policy in ours for rule in policy.get(way.lower()) or []]
        side = "to" if way == "Egress" else "from"
        return not ours or any(_passes(rule, side, peer, port) for rule in rules)


def _of(docs: list[Doc], name: str) -> Doc:
    kinds = ("Deployment", "Job", "CronJob", "Pod")
    return next(doc for doc in docs if doc["kind"] in kinds and doc["metadata"]["name"] == name)


def _passes(rule: Doc, side: str, peer: tuple[str, Doc], port: int) -> bool:
    ports = [each for each in rule["ports"] if each.get("protocol", "TCP") == "TCP"]
    if not any(each["port"] <= port <= each.get("endPort", each["port"]) for each in ports):
        return False
    return not rule.get(side) or any(_is(each, peer) for each in rule[side])


def _is(described: Doc, peer: tuple[str, Doc]) -> bool:
    if "ipBlock" in described:
        return False  # pods are selected by labels, not addresses
    namespace, labels = peer
    space = described.get("namespaceSelector")
    near = namespace == HERE if space is None else _matches(space, {"kubernetes.io/metadata.name": namespace})
    return near and _matches(described.get("podSelector", {}), labels)


def _matches(selector: Doc, labels: dict[str, Any]) -> bool:
    wanted = [(key, [value]) for key, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        wanted.append((expression["key"], expression["values"]))
    return all(labels.get(key) in values for key, values in wanted)
