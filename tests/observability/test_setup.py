"""The manifests of `make observability` and the profile of compose: valid, restricted, from the same files."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mercato.catalog import catalog
from tests.charts.rendering import pods, rendered, run
from tests.observability.files import DASHBOARDS, FOLDER, RULES
from tests.observability.pod_monitor import meta_labels, scrape_config
from tests.system.running import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
TOOLS = {name: each for name, each in COMPOSE.items() if each.get("profiles") == ["observability"]}
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS = [doc for name in KUSTOMIZATION["resources"] for doc in yaml.safe_load_all((FOLDER / name).read_text())]
PODS = {
    doc["metadata"]["name"]: doc["spec"]["template"] for doc in OBJECTS if doc["kind"] in ("Deployment", "StatefulSet")
}
SCRAPE = FOLDER / "prometheus" / "scrape"
ANNOTATION_LIMIT = 256 * 1024
"""Bytes that `kubectl apply` can store in the annotation of an object."""


def generated() -> dict[str, list[str]]:
    """Return ConfigMap -> its files, as paths in the folder."""
    return {each["name"]: each["files"] for each in KUSTOMIZATION["configMapGenerator"]}


def container(name: str) -> Any:
    (found,) = PODS[name]["spec"]["containers"]
    return found


def test_manifests_pass_kubeconform():
    schemas = os.environ.get("KUBERNETES_SCHEMAS") or pytest.skip("KUBERNETES_SCHEMAS names no folder with schemas")
    text = "---\n".join(yaml.safe_dump(doc) for doc in OBJECTS)
    done = run("kubeconform", "-strict", "-kubernetes-version", "1.36.0", "-schema-location", schemas, "-", stdin=text)
    assert done.returncode == 0, done.stdout


def test_kustomization_builds():
    kubectl = shutil.which("kubectl") or pytest.skip("kubectl is not in PATH")
    done = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    docs = list(yaml.safe_load_all(done.stdout))
    maps = {doc["metadata"]["name"] for doc in docs if doc["kind"] == "ConfigMap"}
    assert len(maps) == len(generated())
    for doc in docs:
        if doc["kind"] in ("Deployment", "StatefulSet"):
            used = {
                each["configMap"]["name"] for each in doc["spec"]["template"]["spec"]["volumes"] if "configMap" in each
            }
            assert used <= maps


def test_every_rule_and_dashboard_is_applied():
    applied = {FOLDER / file for files in generated().values() for file in files}
    assert {*RULES, *DASHBOARDS} <= applied
    assert all(path.is_file() for path in applied)
    for files in generated().values():
        assert sum((FOLDER / file).stat().st_size for file in files) < ANNOTATION_LIMIT


@pytest.mark.parametrize("name", PODS)
def test_pod_is_restricted_and_has_a_token_only_to_list_pods(name):
    spec = PODS[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is (name == "prometheus")
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == container(name)["resources"].keys()
    assert not any("hostPath" in volume for volume in spec["volumes"])


def test_prometheus_may_only_list_pods_of_the_platform():
    roles = [doc for doc in OBJECTS if doc["kind"] in ("Role", "ClusterRole")]
    (role,) = roles
    assert role["metadata"]["namespace"] == "mercato"
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]


def test_compose_and_cluster_run_the_same_images():
    assert TOOLS.keys() == PODS.keys()
    for name, tool in TOOLS.items():
        assert tool["image"] == container(name)["image"]
        given = container(name)
        assert tool.get("command", []) == [str(part) for part in given.get("args", [])]
        assert tool.get("environment", {}) == {each["name"]: each["value"] for each in given.get("env", [])}
        assert (tool["read_only"], tool["cap_drop"]) == (True, ["ALL"])


@pytest.mark.parametrize("name", PODS)
def test_compose_and_cluster_use_the_same_files(name):
    maps = {each["name"]: each["configMap"]["name"] for each in PODS[name]["spec"]["volumes"] if "configMap" in each}
    cluster = {
        f"{mount['mountPath']}/{Path(file).name}": FOLDER / file
        for mount in container(name)["volumeMounts"]
        if mount["name"] in maps
        for file in generated()[maps[mount["name"]]]
    }
    compose: dict[str, Path] = {}
    for volume in TOOLS[name]["volumes"]:
        source, target = volume.split(":")[:2]
        if source.startswith("."):
            path = ROOT / source
            files = (
                [path]
                if path.is_file()
                else [each for each in path.iterdir() if each.suffix in (".yaml", ".yml", ".json")]
            )
            compose |= {target if path.is_file() else f"{target}/{each.name}": each for each in files}
    renamed = {"compose.yaml": "kubernetes.yaml"}  # how processes are found differs
    found = {
        target.replace("compose.yaml", "kubernetes.yaml"): path.with_name(renamed.get(path.name, path.name))
        for target, path in compose.items()
    }
    assert found == cluster


def test_compose_scrapes_every_process():
    scrape = yaml.safe_load((SCRAPE / "compose.yaml").read_text())["scrape_configs"]
    names = scrape[0]["dns_sd_configs"][0]["names"]
    expected = [
        name for entry in catalog().values() for name in (entry.name, f"{entry.name}-worker")[: 1 + entry.worker]
    ]
    assert names == expected


def test_each_way_to_find_processes_gives_them_the_same_labels(tmp_path):
    worker = meta_labels({"name": "orders", "kind": "worker", "health_port": 9090})
    (kubernetes,) = yaml.safe_load((SCRAPE / "kubernetes.yaml").read_text())["scrape_configs"]
    del kubernetes["kubernetes_sd_configs"]
    (compose,) = yaml.safe_load((SCRAPE / "compose.yaml").read_text())["scrape_configs"]
    del compose["dns_sd_configs"]
    found = [
        labels_of_target(tmp_path, scrape_config("targets.json"), worker),
        labels_of_target(tmp_path, kubernetes, worker),
        labels_of_target(tmp_path, compose, {"__meta_dns_name": "orders-worker"}),
    ]
    expected = {"job": "mercato", "namespace": "mercato", "service": "orders", "process": "worker"}
    for labels, pod in zip(found, ("orders-worker-1", "orders-worker-1", "10.0.0.7:9090"), strict=True):
        assert labels.items() >= {**expected, "pod": pod, "instance": "10.0.0.7:9090"}.items()
        assert labels.keys() - expected - {"pod", "instance"} <= {"container", "endpoint"}


def labels_of_target(folder: Path, scrape: dict[str, Any], meta: dict[str, str]) -> dict[str, str]:
    """Return the labels that Prometheus gives a target with these discovered labels."""
    (folder / "targets.json").write_text(json.dumps([{"targets": ["10.0.0.7:9090"], "labels": meta}]))
    scrape = {**scrape, "file_sd_configs": [{"files": ["targets.json"]}]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    done = run(
        "promtool", "check", "service-discovery", "--timeout=1s", str(folder / "prometheus.yml"), scrape["job_name"]
    )
    assert done.returncode == 0, done.stderr
    (target,) = json.loads(done.stdout)
    return {name: value for name, value in target["labels"].items() if not name.startswith("__")}


def test_pod_of_the_chart_has_what_the_scrape_configuration_reads():
    used_labels = set(
        re.findall(r"__meta_kubernetes_pod_((?:label|annotation)_\w+)", (SCRAPE / "kubernetes.yaml").read_text())
    )
    for name, pod in pods(rendered()).items():
        if name.removesuffix("-worker") in catalog():
            meta_labels = {f"label_{key}" for key in pod["metadata"]["labels"]}
            meta_labels |= {f"annotation_{key}" for key in pod["metadata"]["annotations"]}
            assert used_labels <= {re.sub(r"\W", "_", key) for key in meta_labels}, name


def test_chart_exports_to_the_collector():
    settings = yaml.safe_load((FOLDER / "values.yaml").read_text())["defaults"]["settings"]
    (service,) = [doc for doc in OBJECTS if doc["kind"] == "Service" and doc["metadata"]["name"] == "collector"]
    at = f"http://{service['metadata']['name']}.{service['metadata']['namespace']}"
    assert settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"{at}:{service['spec']['ports'][0]['port']}"
