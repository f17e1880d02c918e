"""A client that keeps its connections and never tries again does not notice that every pod is replaced under it."""

import pytest

from tests.cluster import kube
from tests.cluster.load import Load
from tests.system.platform import Front

pytestmark = pytest.mark.timeout(1500)
RATE, ENOUGH = 20.0, 2400


def test_neither_an_upgrade_nor_a_rollback_fails_a_request(shop: Front) -> None:
    before = kube.revision()
    with Load(shop, RATE) as upgrade:
        kube.upgrade("defaults.settings.LOG_LEVEL=warning")
        upgrade.until(ENOUGH)
    with Load(shop, RATE) as rollback:
        kube.rollback(before)
        rollback.until(ENOUGH)
    for what, load in (("upgrade", upgrade), ("rollback", rollback)):
        print(f"{what}: {load.summary()}")
    assert not upgrade.failures and not rollback.failures
    for load in (upgrade, rollback):
        assert all(load.final(order) == "confirmed" for order in load.orders)
