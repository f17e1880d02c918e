"""The platform in its cluster: network policies, audits, memory requests."""

import re

import pytest

from mercato.catalog import catalog
from tests.cluster import kube
from tests.system.platform import eventually

pytestmark = pytest.mark.timeout(600)
AUDITS = ("inventory-audit", "orders-audit", "payments-audit", "payments-reconcile")
MAX_REQUESTED_MIB = 1464
"""Sum of the memory requests of all services."""
CONNECT = "import socket; socket.create_connection(('payments', 80), 3)"


def test_only_callers_of_payments_can_connect_to_it() -> None:
    assert "payments" in catalog()["orders"].calls
    assert "payments" not in catalog()["notifications"].calls
    kube.kubectl("exec", "deployment/orders", "--", "python", "-c", CONNECT)
    with pytest.raises(AssertionError, match="timed out|refused"):
        kube.kubectl("exec", "deployment/notifications", "--", "python", "-c", CONNECT)


def test_audit_jobs_find_nothing() -> None:
    with kube.restored():
        kube.upgrade("audit.enabled=true")
        assert {job["metadata"]["name"] for job in kube.objects("cronjobs", component="audit")} == set(AUDITS)
        try:
            for name in AUDITS:
                kube.kubectl("create", "job", f"try-{name}", f"--from=cronjob/{name}")
            for name in AUDITS:
                kube.kubectl("wait", "--for=condition=complete", f"job/try-{name}", "--timeout=180s")
                print(kube.kubectl("logs", f"job/try-{name}").strip().splitlines()[-1])
        finally:
            kube.kubectl("delete", "job", *(f"try-{name}" for name in AUDITS), "--ignore-not-found")


def test_memory_requests_cover_the_usage() -> None:
    requested = {}
    for pod in kube.objects("pods", **{"part-of": "mercato"}):
        (container,) = pod["spec"]["containers"]
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in ("web", "worker"):
            requested[pod["metadata"]["name"]] = mebibytes(container["resources"]["requests"]["memory"])
    used = eventually(lambda: found if (found := usage()).keys() >= requested.keys() else None, 90)
    for pod, request in sorted(requested.items()):
        print(f"{pod:45} requests {request} Mi, uses {used[pod]} Mi")
    total = sum(used[pod] for pod in requested)
    print(f"{'all services':45} request {sum(requested.values())} Mi, use {total} Mi")
    assert total <= sum(requested.values()) < MAX_REQUESTED_MIB


def usage() -> dict[str, int]:
    """Return pod -> memory in MiB, from the metrics server."""
    lines = kube.kubectl("top", "pods", "--no-headers", check=False).splitlines()
    return {pod: mebibytes(memory) for pod, _, memory in map(str.split, lines)}


def mebibytes(quantity: str) -> int:
    found = re.fullmatch(r"(\d+)Mi", quantity)
    assert found, quantity
    return int(found[1])
