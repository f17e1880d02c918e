"""The NetworkPolicies allow the edges of `calls:`, and what every service needs."""

import pytest

from mercato.catalog import catalog
from tests.charts.reach import HERE, World
from tests.charts.rendering import SAMPLES, rendered

MONGODB, KAFKA = ((HERE, {"app.kubernetes.io/name": name}) for name in ("mongodb", "kafka"))
STRANGER = (HERE, {"app.kubernetes.io/name": "stranger"})
EDGE, PROMETHEUS, DNS = ("traefik", {}), ("monitoring", {}), ("kube-system", {})


@pytest.fixture(scope="module")
def world() -> World:
    return World(rendered())


def webs() -> list[str]:
    return list(catalog())


def test_service_reaches_only_its_upstreams(world: World) -> None:
    edges = {
        (labels["app.kubernetes.io/name"], web)
        for source, (_, labels) in world.pods.items()
        for web in webs()
        if world.may(world.pods[source], world.pods[web], 8080)
    }
    assert edges == {(entry.name, callee) for entry in catalog().values() for callee in entry.calls}


def test_web_and_worker_reach_the_same_upstreams(world: World) -> None:
    for entry in catalog().values():
        for callee in entry.calls:
            for process in (entry.name, *([f"{entry.name}-worker"] if entry.worker else [])):
                assert world.may(world.pods[process], world.pods[callee], 8080)


def test_audit_reaches_upstreams_and_database() -> None:
    world = World(rendered("replicas"))
    audits = [name for name in world.pods if name.endswith("-audit")]
    assert audits
    for name in audits:
        entry = catalog()[name.removesuffix("-audit")]
        assert {web for web in webs() if world.may(world.pods[name], world.pods[web], 8080)} == set(entry.calls)
        assert world.may(world.pods[name], MONGODB, 27017)


def test_unrelated_pods_reach_nothing(world: World) -> None:
    for place in world.pods.values():
        for stranger in (STRANGER, ("default", {}), MONGODB, KAFKA):
            assert not any(world.may(stranger, place, port) for port in (80, 8080, 9090))


def test_edge_reaches_only_web_pods_with_routes(world: World) -> None:
    reached = {name for name, place in world.pods.items() if world.may(EDGE, place, 8080)}
    assert reached >= {entry.name for entry in catalog().values() if entry.routes or entry.exact}
    assert {world.pods[name][1]["app.kubernetes.io/name"] for name in reached} <= set(catalog())
    assert not any(world.may(EDGE, place, 9090) for place in world.pods.values())


def test_prometheus_reaches_only_health_ports(world: World) -> None:
    assert all(world.may(PROMETHEUS, place, 9090) for place in world.pods.values())
    assert not any(world.may(PROMETHEUS, place, 8080) for place in world.pods.values())


def test_pods_reach_dns_database_and_message_bus(world: World) -> None:
    for place in world.pods.values():
        assert world.may(place, DNS, 53)
        assert world.may(place, MONGODB, 27017)
        assert world.may(place, KAFKA, 9092)
        assert not any(world.may(place, STRANGER, port) for port in (80, 8080, 9092, 27017))
        assert not world.may(place, ("default", {}), 443)


def test_pods_reach_the_collector_if_traces_are_exported() -> None:
    collector = ("observability", {"app": "collector"})
    for sample, expected in (("minimal", False), ("replicas", True)):
        world = World(rendered(sample))
        assert all(world.may(place, collector, 4318) is expected for place in world.pods.values())


@pytest.mark.parametrize("sample", SAMPLES)
def test_allowed_connections_do_not_depend_on_values(sample: str) -> None:
    world = World(rendered(sample))
    for entry in catalog().values():
        reached = {web for web in webs() if world.may(world.pods[entry.name], world.pods[web], 8080)}
        assert reached == set(entry.calls)
