"""What Helm asks of a cluster in a dry run: the API resources, and objects by name. It changes nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from tests.charts.rendering import Doc

_KINDS = {
    "v1": ("Secret", "ServiceAccount", "ConfigMap", "Service", "Pod"),
    "apps/v1": ("Deployment",),
    "batch/v1": ("Job", "CronJob"),
    "networking.k8s.io/v1": ("NetworkPolicy", "Ingress"),
    "policy/v1": ("PodDisruptionBudget",),
}


_OF_RELEASE = {
    "labels": {"app.kubernetes.io/managed-by": "Helm"},
    "annotations": {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "mercato"},
}
"""By which Helm knows the objects of the release `shop`."""


class Cluster:
    """A cluster that holds `objects`: (kind, name) -> object, all of the API version v1 in the namespace `mercato`."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Doc] = {("ServiceAccount", "default"): {}}

    def put(self, kind: str, name: str, **data: str) -> None:
        """Add or replace a ConfigMap or a Secret."""
        self.objects[kind, name] = {"data": data}

    def answer(self, path: str) -> Doc | None:
        """Return the response to a GET request, or None for 404."""
        parts = path.strip("/").split("/")
        if parts == ["version"]:
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.0"}
        if parts == ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        if parts == ["apis"]:
            return {"kind": "APIGroupList", "groups": [_group(version) for version in _KINDS if "/" in version]}
        if (version := path.removeprefix("/api/").removeprefix("/apis/")) in _KINDS:
            return {"kind": "APIResourceList", "groupVersion": version, "resources": _resources(version)}
        kinds = {_plural(kind): kind for kind in _KINDS["v1"]}
        if (
            parts[:-2] != ["api", "v1", "namespaces", "mercato"]
            or (kinds.get(parts[-2]), parts[-1]) not in self.objects
        ):
            return None
        kind, name = kinds[parts[-2]], parts[-1]
        metadata = {"name": name, "namespace": "mercato", **_OF_RELEASE}
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata} | self.objects[kind, name]


def _group(version: str) -> Doc:
    preferred = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [preferred], "preferredVersion": preferred}


def _resources(version: str) -> list[Doc]:
    verbs = ["get", "list", "create", "patch"]
    return [{"name": _plural(kind), "kind": kind, "namespaced": True, "verbs": verbs} for kind in _KINDS[version]]


def _plural(kind: str) -> str:
    return kind.lower() + "s"


@contextmanager
def serving(cluster: Cluster, folder: Path) -> Iterator[Path]:
    """Serve the cluster on loopback; yield the path of a kubeconfig."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = cluster.answer(self.path.partition("?")[0])
            body = json.dumps(found or {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    config = folder / "kubeconfig"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
                "current-context": "c",
            }
        )
    )
    try:
        yield config
    finally:
        server.shutdown()
        server.server_close()
