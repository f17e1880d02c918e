"""The scrape configuration that prometheus-operator generates for the chart's PodMonitor, with files for its pods.

The relabelings are those of its `generatePodMonitorConfig`, in the same order; those of the PodMonitor come last.
"""

import re
from typing import Any

from tests.charts.rendering import of_kind, rendered

NAMESPACE = "mercato"
_CAMEL = re.compile(r"(?<!^)(?=[A-Z])")

Json = dict[str, Any]


def scrape_config(targets: str) -> Json:
    """Return the configuration for the pods in the file `targets`."""
    (monitor,) = of_kind(rendered("production"), "PodMonitor").values()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    name = monitor["metadata"]["name"]
    return {
        "job_name": f"podMonitor/{NAMESPACE}/{name}/0",
        "file_sd_configs": [{"files": [targets]}],
        "relabel_configs": [
            {"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"},
            {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"},
            *(_selects(label, value) for label, value in monitor["spec"]["selector"]["matchLabels"].items()),
            {
                "action": "keep",
                "source_labels": ["__meta_kubernetes_pod_container_port_name"],
                "regex": endpoint["port"],
            },
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
            {"target_label": "job", "replacement": f"{NAMESPACE}/{name}"},
            {"target_label": "endpoint", "replacement": endpoint["port"]},
            *({_CAMEL.sub("_", key).lower(): value for key, value in each.items()} for each in endpoint["relabelings"]),
        ],
    }


def meta_labels(process: Json) -> dict[str, str]:
    """Return the labels with which Kubernetes service discovery describes the pod of a process."""
    name, kind, port = process["name"], process["kind"], str(process["health_port"])
    labels = {
        "annotation_prometheus_io_scrape": "true",
        "annotation_prometheus_io_port": port,
        "container_name": kind,
        "container_port_name": "health",
        "container_port_number": port,
        "name": f"{name}-{kind}-1",
        "phase": "Running",
    }
    for label, value in {"name": name, "component": kind, "part-of": "mercato"}.items():
        labels[f"label_app_kubernetes_io_{label.replace('-', '_')}"] = value
        labels[f"labelpresent_app_kubernetes_io_{label.replace('-', '_')}"] = "true"
    found = {f"__meta_kubernetes_pod_{label}": value for label, value in labels.items()}
    return found | {"__meta_kubernetes_namespace": NAMESPACE}


def _selects(label: str, value: str) -> Json:
    name = re.sub(r"\W", "_", label)
    sources = [f"__meta_kubernetes_pod_label_{name}", f"__meta_kubernetes_pod_labelpresent_{name}"]
    return {"action": "keep", "source_labels": sources, "regex": f"({value});true"}
