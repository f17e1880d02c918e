"""A caller finds all the replicas of a callee by DNS, and gives each its share, whatever the strategy."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.cluster import kube
from tests.system.platform import Client, Front, eventually

pytestmark = pytest.mark.timeout(900)
REPLICAS, ORDERS = 3, 60
SERVED = "http_server_request_duration_seconds_count"
LEAST = {"round-robin": 0.3, "random": 0.15, "least-connections": 0.2}
"""Strategy -> the smallest share that a replica has."""


@pytest.fixture(scope="module")
def replicas() -> Iterator[None]:
    with kube.restored():
        # First small, then many: else they do not fit into a node of two cores, and wait for each other there.
        kube.upgrade("services.inventory.resources.requests.cpu=20m")
        kube.upgrade(f"services.inventory.replicas={REPLICAS}")
        yield


@pytest.mark.parametrize("strategy", LEAST)
def test_each_replica_has_its_share(shop: Front, buyer: Client, replicas: None, strategy: str) -> None:
    kube.upgrade(f"services.orders.settings.BALANCING={strategy}")
    pods = kube.alone(REPLICAS, name="inventory", component="web")
    product = shop.product(stock=1000)
    first = served(pods)
    eventually(lambda: buyer.buy(product) and all((served(pods) - first)[pod] for pod in pods), 60)  # DNS has told
    before = served(pods)
    for _ in range(ORDERS):
        buyer.buy(product)
    calls = served(pods) - before
    print(f"{strategy}: {sorted(calls.values())}")
    assert sum(calls.values()) >= 2 * ORDERS  # reserve, and confirm
    assert min(calls[pod] for pod in pods) >= LEAST[strategy] * sum(calls.values())


def served(pods: list[str]) -> Counter[str]:
    """Pod -> calls of other services that it has answered."""
    found = Counter[str]()
    for pod in pods:
        for sample in kube.told(pod):
            if sample.name == SERVED and sample.labels["http_route"].startswith("/internal/"):
                found[pod] += int(sample.value)
    return found
