"""The chart as Helm renders it with its sample values."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "charts" / "mercato"
MINIMAL = "minimal"
SAMPLES = {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}
SAMPLES["production"] = CHART / "values-production.yaml"
KEDA = "keda.sh/v1alpha1"

Doc = dict[str, Any]


def tool(name: str) -> str:
    """Return the path of a command; skip the test if it is not installed."""
    return shutil.which(name) or pytest.skip(f"{name} is not in PATH")


def schemas() -> Path:
    """Return the folder with the JSON schemas of Kubernetes, one folder per version, for kubeconform."""
    found = os.environ.get("KUBERNETES_SCHEMAS")
    return Path(found) if found else pytest.skip("KUBERNETES_SCHEMAS names no folder with schemas")


def run(name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tool; do not check its exit code."""
    return subprocess.run([tool(name), *arguments], input=stdin, capture_output=True, text=True, timeout=60)


def template(*arguments: str, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """Run `helm template` for a cluster with KEDA."""
    return run("helm", "template", "shop", str(chart), "--namespace", "mercato", "--api-versions", KEDA, *arguments)


@cache
def text(sample: str, chart: Path = CHART) -> str:
    """Return the rendered text of a sample."""
    done = template("--values", str(SAMPLES[sample]), chart=chart)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def rendered(sample: str = MINIMAL, chart: Path = CHART) -> list[Doc]:
    """Return the rendered objects of a sample; do not change them."""
    return [doc for doc in yaml.safe_load_all(text(sample, chart)) if doc]


def of_kind(docs: list[Doc], kind: str) -> dict[str, Doc]:
    """Return name -> object of this kind."""
    return {doc["metadata"]["name"]: doc for doc in docs if doc["kind"] == kind}


def is_test(doc: Doc) -> bool:
    """Return whether the object exists only during `helm test`."""
    return doc["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"


def pods(docs: list[Doc]) -> dict[str, Doc]:
    """Return Deployment, Job, CronJob or Pod -> metadata and spec of its pod."""
    found = {}
    for doc in docs:
        name, spec = doc["metadata"]["name"], doc.get("spec", {})
        if doc["kind"] == "Pod":
            found[name] = doc
        elif doc["kind"] == "CronJob":
            found[name] = spec["jobTemplate"]["spec"]["template"]
        elif doc["kind"] in ("Deployment", "Job"):
            found[name] = spec["template"]
    return found
