"""Clients with persistent connections and without retries see no error while every pod is replaced."""

import pytest

from tests.cluster import kube
from tests.cluster.load import Load
from tests.system.platform import Front

pytestmark = pytest.mark.timeout(1500)
REQUESTS_PER_S, MIN_REQUESTS = 20.0, 2400


def test_no_request_fails_during_upgrade_and_rollback(shop: Front) -> None:
    before = kube.revision()
    with Load(shop, REQUESTS_PER_S) as upgrade:
        kube.upgrade("defaults.settings.LOG_LEVEL=warning")
        upgrade.wait_for(MIN_REQUESTS)
    with Load(shop, REQUESTS_PER_S) as rollback:
        kube.rollback(before)
        rollback.wait_for(MIN_REQUESTS)
    for what, load in (("upgrade", upgrade), ("rollback", rollback)):
        print(f"{what}: {load.summary()}")
    assert not upgrade.failures and not rollback.failures
    for load in (upgrade, rollback):
        assert all(load.final_status(order) == "confirmed" for order in load.orders)
