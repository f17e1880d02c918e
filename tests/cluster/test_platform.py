"""What is true of the platform in its cluster: who may talk to whom, that its books agree, and what it takes."""

import re

import pytest

from mercato.catalog import catalog
from tests.cluster import kube
from tests.system.platform import eventually

pytestmark = pytest.mark.timeout(600)
AUDITS = ("inventory", "orders", "payments")
MEMORY = 1368
"""MiB that all services may ask for together."""
KNOCK = "import socket; socket.create_connection(('payments', 80), 3)"


def test_only_who_calls_payments_can_reach_it() -> None:
    assert "payments" in catalog()["orders"].calls
    assert "payments" not in catalog()["notifications"].calls
    kube.kubectl("exec", "deployment/orders", "--", "python", "-c", KNOCK)
    with pytest.raises(AssertionError, match="timed out|refused"):
        kube.kubectl("exec", "deployment/notifications", "--", "python", "-c", KNOCK)


def test_the_books_agree() -> None:
    with kube.restored():
        kube.upgrade("audit.enabled=true")
        assert {job["metadata"]["name"] for job in kube.objects("cronjobs", component="audit")} == {
            f"{name}-audit" for name in AUDITS
        }
        try:
            for name in AUDITS:
                kube.kubectl("create", "job", f"try-{name}-audit", f"--from=cronjob/{name}-audit")
            for name in AUDITS:
                kube.kubectl("wait", "--for=condition=complete", f"job/try-{name}-audit", "--timeout=180s")
                print(kube.kubectl("logs", f"job/try-{name}-audit").strip().splitlines()[-1])
        finally:
            kube.kubectl("delete", "job", *(f"try-{name}-audit" for name in AUDITS), "--ignore-not-found")


def test_the_services_ask_for_what_they_take_and_for_little() -> None:
    asked = {}
    for pod in kube.objects("pods", **{"part-of": "mercato"}):
        (container,) = pod["spec"]["containers"]
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in ("web", "worker"):
            asked[pod["metadata"]["name"]] = mebibytes(container["resources"]["requests"]["memory"])
    used = eventually(lambda: found if (found := usage()).keys() >= asked.keys() else None, 90)
    for pod, most in sorted(asked.items()):
        print(f"{pod:45} asks for {most} Mi, takes {used[pod]} Mi")
    total = sum(used[pod] for pod in asked)
    print(f"{'all services':45} ask for {sum(asked.values())} Mi, take {total} Mi")
    assert total <= sum(asked.values()) < MEMORY


def usage() -> dict[str, int]:
    """Pod -> its memory in MiB, as the metrics server has measured it."""
    lines = kube.kubectl("top", "pods", "--no-headers", check=False).splitlines()
    return {pod: mebibytes(memory) for pod, _, memory in map(str.split, lines)}


def mebibytes(quantity: str) -> int:
    found = re.fullmatch(r"(\d+)Mi", quantity)
    assert found, quantity
    return int(found[1])
