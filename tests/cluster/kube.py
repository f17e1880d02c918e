"""The cluster of `make cluster` as kubectl and helm show it."""

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
ROLLED_OUT = 600.0
"""Seconds until a release is up, every pod of it replaced."""
_WAIT = ("--wait", "--timeout", f"{ROLLED_OUT:.0f}s")

Doc = dict[str, Any]


def kubectl(*arguments: str, check: bool = True) -> str:
    """What the command prints."""
    return _run(["kubectl", "--context", CONTEXT, "--namespace", NAMESPACE, *arguments], check)


def helm(verb: str, *arguments: str) -> str:
    """The same, of a command about the release."""
    command = ["helm", verb, RELEASE, "--kube-context", CONTEXT, "--namespace", NAMESPACE, *arguments]
    return _run(["nice", *command], check=True)  # the cluster may be on this machine


def upgrade(*settings: str) -> None:
    """Change values of the release, as in `defaults.replicas=3`, and wait until every pod has them."""
    sets = [argument for setting in settings for argument in ("--set", setting)]
    helm("upgrade", str(CHART.parent), "--reuse-values", *sets, *_WAIT)


def revision() -> str:
    """The number of the release as it is."""
    return str(json.loads(helm("status", "--output", "json"))["version"])


def rollback(revision: str) -> None:
    """Bring the release back to what it was, and wait until every pod is."""
    helm("rollback", revision, *_WAIT)


@contextmanager
def restored() -> Iterator[None]:
    """Whatever becomes of the release inside, it is as it was again."""
    before = revision()
    try:
        yield
    finally:
        rollback(before)


def objects(kind: str, **labels: str) -> list[Doc]:
    """Those of a kind that have these labels, by their last word: `name="orders", component="web"`."""
    chosen = ",".join(f"app.kubernetes.io/{label}={value}" for label, value in labels.items())
    found: list[Doc] = json.loads(kubectl("get", kind, "--selector", chosen, "--output", "json"))["items"]
    return found


def pods(**labels: str) -> list[str]:
    """The names of the pods that run, and are not about to end."""
    found = objects("pods", **labels)
    alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"]
    return [pod["metadata"]["name"] for pod in alive]


def alone(count: int, **labels: str) -> list[str]:
    """The names of so many pods, once there are no others."""
    found: list[str] = eventually(
        lambda: names if len(objects("pods", **labels)) == len(names := pods(**labels)) == count else None, 60
    )
    return found


def told(pod: str) -> list[Sample]:
    """What a pod's /metrics tell."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9090/proxy/metrics"
    return [each for family in text_string_to_metric_families(kubectl("get", "--raw", path)) for each in family.samples]


def kill(pod: str) -> None:
    """SIGKILL to all of it at once."""
    kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def ready(kind: str, name: str) -> None:
    """Wait until every replica of it is up to date and ready."""
    kubectl("rollout", "status", f"{kind}/{name}", f"--timeout={ROLLED_OUT:.0f}s")


def _run(command: list[str], check: bool) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * ROLLED_OUT)
    assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout
