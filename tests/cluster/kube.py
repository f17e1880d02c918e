"""Access to the cluster of `make cluster` through kubectl and helm."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from mercato.catalog import CHART
from tests.system.running import eventually

CONTEXT, NAMESPACE, RELEASE = "kind-mercato", "mercato", "mercato"
ROLLOUT_TIMEOUT_S = 600.0
_WAIT = ("--wait", "--timeout", f"{ROLLOUT_TIMEOUT_S:.0f}s")

Doc = dict[str, Any]


def kubectl(*arguments: str, check: bool = True) -> str:
    """Run kubectl and return its output."""
    return _run(["kubectl", "--context", CONTEXT, "--namespace", NAMESPACE, *arguments], check)


def helm(verb: str, *arguments: str) -> str:
    """Run helm on the release and return its output."""
    command = ["helm", verb, RELEASE, "--kube-context", CONTEXT, "--namespace", NAMESPACE, *arguments]
    return _run(["nice", *command], check=True)  # the cluster may be on this machine


def upgrade(*settings: str) -> None:
    """Set values of the release, as in `defaults.replicas=3`, and wait until the rollout is complete."""
    sets = [argument for setting in settings for argument in ("--set", setting)]
    helm("upgrade", str(CHART.parent), "--reset-then-reuse-values", *sets, *_WAIT)


def revision() -> str:
    """Return the current revision of the release."""
    return str(json.loads(helm("status", "--output", "json"))["version"])


def rollback(revision: str) -> None:
    """Roll the release back to a revision and wait until the rollout is complete."""
    helm("rollback", revision, *_WAIT)


@contextmanager
def restored() -> Iterator[None]:
    """Roll the release back to its present revision at the end."""
    before = revision()
    try:
        yield
    finally:
        rollback(before)


def objects(kind: str, **labels: str) -> list[Doc]:
    """Return the objects with these `app.kubernetes.io/` labels: `name="orders", component="web"`."""
    selector = ",".join(f"app.kubernetes.io/{label}={value}" for label, value in labels.items())
    found: list[Doc] = json.loads(kubectl("get", kind, "--selector", selector, "--output", "json"))["items"]
    return found


def pods(**labels: str) -> list[str]:
    """Return the names of the pods that run and are not terminating."""
    found = objects("pods", **labels)
    running = [
        pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"
    ]
    return [pod["metadata"]["name"] for pod in running]


def wait_for_pods(count: int, **labels: str) -> list[str]:
    """Wait until exactly `count` pods exist and run; return their names."""
    found: list[str] = eventually(
        lambda: names if len(objects("pods", **labels)) == len(names := pods(**labels)) == count else None, 60
    )
    return found


def metrics(pod: str) -> list[Sample]:
    """Return the samples of a pod's /metrics."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9090/proxy/metrics"
    return [each for family in text_string_to_metric_families(kubectl("get", "--raw", path)) for each in family.samples]


def kill(pod: str) -> None:
    """Delete a pod without grace period."""
    kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def wait_until_ready(kind: str, name: str) -> None:
    """Wait until every replica is up to date and ready."""
    kubectl("rollout", "status", f"{kind}/{name}", f"--timeout={ROLLOUT_TIMEOUT_S:.0f}s")


def _run(command: list[str], check: bool) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * ROLLOUT_TIMEOUT_S)
    assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout
