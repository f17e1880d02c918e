"""A caller finds all replicas of an upstream by DNS and balances its calls, with every strategy."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.cluster import kube
from tests.sizes import by_form
from tests.system.platform import Client, Front, eventually

pytestmark = pytest.mark.timeout(900)
REPLICAS, ORDERS = 3, 60
SERVED_METRIC = "http_server_request_duration_seconds_count"
DEFAULT = "round-robin"
MIN_SHARE = {"round-robin": 0.3, "random": 0.15, "least-connections": 0.2}
"""Strategy -> smallest share of the calls that a replica may get."""


@pytest.fixture(scope="module")
def replicas() -> Iterator[None]:
    with kube.restored():
        # Reduce the request first: otherwise the replicas do not fit into a node of two cores.
        kube.upgrade("services.inventory.resources.requests.cpu=20m")
        kube.upgrade(f"services.inventory.replicas={REPLICAS}")
        yield


@pytest.mark.parametrize("strategy", by_form([DEFAULT], list(MIN_SHARE)))
def test_each_replica_gets_its_share_of_calls(shop: Front, buyer: Client, replicas: None, strategy: str) -> None:
    if strategy != DEFAULT:
        kube.upgrade(f"services.orders.settings.BALANCING={strategy}")
    pods = kube.wait_for_pods(REPLICAS, name="inventory", component="web")
    product = shop.product(stock=1000)
    first = served(pods)
    # Wait until DNS lists all pods.
    eventually(lambda: buyer.buy(product) and all((served(pods) - first)[pod] for pod in pods), 60)
    before = served(pods)
    for _ in range(ORDERS):
        buyer.buy(product)
    calls = served(pods) - before
    print(f"{strategy}: {sorted(calls.values())}")
    assert sum(calls.values()) >= 2 * ORDERS  # reserve and confirm
    assert min(calls[pod] for pod in pods) >= MIN_SHARE[strategy] * sum(calls.values())


def served(pods: list[str]) -> Counter[str]:
    """Return pod -> number of internal calls that it has served."""
    found = Counter[str]()
    for pod in pods:
        for sample in kube.metrics(pod):
            if sample.name == SERVED_METRIC and sample.labels["http_route"].startswith("/internal/"):
                found[pod] += int(sample.value)
    return found
