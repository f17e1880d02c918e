"""The rendered chart: valid objects for each Kubernetes version, and the settings of each pod."""

import json
from typing import Any

import pytest
import yaml

from chassis.settings import Settings
from chassis.web.bodies import MAX_IMAGE_BYTES
from mercato.catalog import catalog
from mercato.cli.audit import DISAGREE, NOT_CHECKED
from mercato.settings import models
from tests.charts import golden
from tests.charts.rendering import CHART, MINIMAL, SAMPLES, Doc, of_kind, pods, rendered, run, schemas, template, text

VERSIONS = ("1.33.0", "1.34.0", "1.35.0", "1.36.0", "1.37.0")
MAX_LINES = 480
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
MAX_MEMORY_MIB = 1464
"""Limit of the memory requests of all processes."""
FOREIGN = {"SSL_CERT_FILE", "POD_NAME"}
FOREIGN |= {
    f"OTEL_{name}" for name in ("EXPORTER_OTLP_ENDPOINT", "RESOURCE_ATTRIBUTES", "TRACES_SAMPLER", "TRACES_SAMPLER_ARG")
}
"""Variables of OpenSSL and OpenTelemetry that a pod may have, and its name for them."""
REASONS = {
    "ImagePullPolicy is not set to Always": "tags are never reused, and a registry outage must not block a restart",
    "CPU limit is not set": "a process may use free CPU; if throttled, it misses its deadlines",
    "Deployment few replicas": "a development cluster has one of each; values-production.yaml has three",
    "Deployment does not have a host podAntiAffinity set": "topologySpreadConstraints spread over hosts and zones",
}
"""Finding of kube-score -> the reason why it is accepted."""


@pytest.mark.parametrize("sample", SAMPLES)
def test_chart_passes_helm_lint(sample: str) -> None:
    done = run("helm", "lint", "--strict", str(CHART), "--values", str(SAMPLES[sample]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid_for_kubernetes_version(version: str) -> None:
    location = ("-schema-location", str(schemas()), "-kubernetes-version", version)
    custom = ("-skip", "ScaledObject,TriggerAuthentication,HTTPRoute,PodMonitor,PrometheusRule")
    everything = "\n---\n".join(text(sample) for sample in SAMPLES)
    done = run("kubeconform", "-strict", "-summary", "-output", "json", *location, *custom, stdin=everything)
    summary = json.loads(done.stdout)["summary"]
    assert done.returncode == 0, done.stdout
    assert summary["valid"] > 60 * len(SAMPLES) / 2


@pytest.mark.parametrize("sample", SAMPLES)
def test_kube_score_findings_have_a_reason(sample: str) -> None:
    done = run("kube-score", "score", "--output-format", "json", "-", stdin=text(sample))
    found = {
        f"{each['object_name']}: {check['check']['id']}: {comment['summary']}"
        for each in json.loads(done.stdout)
        for check in each["checks"]
        if check["grade"] <= 5 and not check["skipped"]  # a warning, or worse
        for comment in check["comments"]
        if comment["summary"] not in REASONS
    }
    assert not found


@pytest.mark.parametrize("sample", SAMPLES)
def test_render_equals_the_golden_file(sample: str) -> None:
    with golden.small_chart() as chart:
        now = golden.golden(sample, chart)
    kept = golden.path(sample).read_text()
    assert now == kept, "see what differs with: python -m tests.charts.golden && git diff tests/charts/golden"


def test_templates_stay_below_the_line_limit() -> None:
    files = [path for path in (CHART / "templates").rglob("*") if path.is_file()]
    assert sum(len(path.read_text().splitlines()) for path in files) <= MAX_LINES


def test_service_has_deployments_and_both_services() -> None:
    docs = rendered()
    services = {name for entry in catalog().values() for name in (entry.name, f"{entry.name}-pods")}
    assert set(of_kind(docs, "Service")) == services
    workers = {f"{entry.name}-worker" for entry in catalog().values() if entry.worker}
    assert set(of_kind(docs, "Deployment")) == set(catalog()) | workers
    for name, pod in pods(docs).items():
        if name in catalog():
            assert pod["spec"]["containers"][0]["command"] == ["mercato", "web", name]
        if name in workers:
            assert pod["spec"]["containers"][0]["command"] == ["mercato", "worker", name.removesuffix("-worker")]


def test_headless_service_selects_web_pods() -> None:
    docs = rendered()
    for name in catalog():
        spec = of_kind(docs, "Service")[f"{name}-pods"]["spec"]
        assert spec["clusterIP"] == "None"
        assert [port["port"] for port in spec["ports"]] == [8080]
        chosen = [process for process, pod in pods(docs).items() if spec["selector"].items() <= _labels(pod).items()]
        assert chosen == [name]


@pytest.mark.parametrize("sample", SAMPLES)
def test_settings_of_each_pod_are_valid(sample: str) -> None:
    docs = rendered(sample)
    known = {name.upper() for model in models().values() for name in model.model_fields}
    for name, pod in pods(docs).items():
        environment = _environment(docs, pod)
        assert environment.keys() <= known | FOREIGN, name
        settings = Settings.from_environment(environment)
        if name in catalog():
            assert set(settings.addresses) == set(catalog()[name].calls)
            listed = {each for found in settings.addresses.values() for each in found.replace("||", "|").split("|")}
            assert {each.rpartition(":")[0] for each in listed} <= set(of_kind(docs, "Service"))


@pytest.mark.parametrize("sample", ["replicas", "production"])
def test_audit_has_image_and_settings_of_its_service(sample: str) -> None:
    docs = rendered(sample)
    services = VALUES["services"].items()
    checks = [(name, "audit") for name, entry in services if entry.get("audits")]
    checks += [(name, "reconcile") for name, entry in services if entry.get("reconciles")]
    assert set(of_kind(docs, "CronJob")) == {f"{name}-{check}" for name, check in checks}
    assert ("payments", "reconcile") in checks
    for name, check in checks:
        audit, web = pods(docs)[f"{name}-{check}"], pods(docs)[name]
        assert audit["spec"]["containers"][0]["command"] == ["mercato", check, name]
        assert audit["spec"]["containers"][0]["image"] == web["spec"]["containers"][0]["image"]
        assert audit["spec"]["serviceAccountName"] == name
        assert _environment(docs, audit) == _environment(docs, web)
        assert not of_kind(docs, "Service")[name]["spec"]["selector"].items() <= _labels(audit).items()
        for deployment in of_kind(docs, "Deployment").values():
            assert not deployment["spec"]["selector"]["matchLabels"].items() <= _labels(audit).items()


def test_audit_is_retried_only_if_it_could_not_check() -> None:
    spec = of_kind(rendered("production"), "CronJob")["orders-audit"]["spec"]["jobTemplate"]["spec"]
    assert spec["backoffLimit"] > 0
    [rule] = spec["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]) == ("FailJob", {"operator": "In", "values": [DISAGREE]})
    assert DISAGREE != NOT_CHECKED


@pytest.mark.parametrize("sample", SAMPLES)
def test_only_admin_pods_get_the_admin_password(sample: str) -> None:
    docs = rendered(sample)
    assert {name for name, pod in pods(docs).items() if "ADMIN_PASSWORD" in _environment(docs, pod)} == {
        "users-admin",
        "mercato-order",
    }


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_pod_is_restricted(sample: str) -> None:
    for name, pod in pods(rendered(sample)).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {"emptyDir", "secret"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_memory_requests_fit_a_small_node() -> None:
    docs = rendered()
    memory = sum(
        deployment["spec"]["replicas"] * int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
        for deployment in of_kind(docs, "Deployment").values()
        for container in deployment["spec"]["template"]["spec"]["containers"]
    )
    assert memory < MAX_MEMORY_MIB


def test_web_pod_serves_during_its_pre_stop_delay() -> None:
    for name, deployment in of_kind(rendered(), "Deployment").items():
        assert deployment["spec"]["strategy"] == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        pod = deployment["spec"]["template"]["spec"]
        pause = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pause == (5 if name in catalog() else 0)
        assert pod["terminationGracePeriodSeconds"] > pause + Settings.from_environment({}).shutdown + 10


def test_large_bodies_pass_to_pictures_alone() -> None:
    size = "nginx.ingress.kubernetes.io/proxy-body-size"
    ingresses = of_kind(rendered(), "Ingress")
    assert {name: each["metadata"]["annotations"].get(size) for name, each in ingresses.items()} == {
        "mercato": None,
        "mercato-8m": f"{MAX_IMAGE_BYTES // 2**20}m",
    }
    assert {
        path["backend"]["service"]["name"]
        for rule in ingresses["mercato-8m"]["spec"]["rules"]
        for path in rule["http"]["paths"]
    } == {"products"}


def edge_paths(sample: str = MINIMAL) -> set[tuple[str, str, str]]:
    """Return (type, path, service) of each route of the Ingresses."""
    specs = [each["spec"] for each in of_kind(rendered(sample), "Ingress").values()]
    paths = [path for spec in specs for rule in spec["rules"] for path in rule["http"]["paths"]]
    return {(path["pathType"], path["path"], path["backend"]["service"]["name"]) for path in paths}


def test_edge_routes_equal_those_of_the_services() -> None:
    prefixes = {("Prefix", route, name) for name, entry in catalog().items() for route in entry.routes}
    exact = {("Exact", route, name) for name, entry in catalog().items() for route in entry.exact}
    assert edge_paths() == prefixes | exact
    assert not of_kind(rendered("http-route"), "Ingress")
    rules = of_kind(rendered("http-route"), "HTTPRoute")["mercato"]["spec"]["rules"]
    matches = {
        (match["path"]["type"].removeprefix("Path"), match["path"]["value"], rule["backendRefs"][0]["name"])
        for rule in rules
        for match in rule["matches"]
    }
    assert matches == prefixes | exact


@pytest.mark.parametrize("path", ["/internal/x", "/metrics", "/livez", "/api/nope", "/api", "/health/x", "/x"])
def test_ingress_has_no_backend_for_private_and_unknown_paths(path: str) -> None:
    assert not [
        (kind, route)
        for kind, route, _ in edge_paths()
        if path == route or kind == "Prefix" and path.startswith(route.rstrip("/") + "/")
    ]


def test_every_process_accepts_a_second_secret_and_restarts_when_it_changes() -> None:
    def restart_marks(*values: str) -> dict[str, str]:
        arguments = [argument for value in ("PLATFORM_SECRET=" + "s" * 32, *values) for argument in ("--set", value)]
        done = template(*(each if each == "--set" else f"secret.values.{each}" for each in arguments))
        docs = [doc for doc in yaml.safe_load_all(done.stdout) if doc]
        processes = {name: pod for name, pod in pods(docs).items() if name in of_kind(docs, "Deployment")}
        for pod in processes.values():
            [container] = pod["spec"]["containers"]
            found = {each["name"]: each.get("valueFrom", {}).get("secretKeyRef", {}) for each in container["env"]}
            assert found["PLATFORM_SECRET"]["key"] == "PLATFORM_SECRET" and "optional" not in found["PLATFORM_SECRET"]
            assert found["PLATFORM_SECRET_ACCEPTED"]["optional"] is True
        return {name: pod["metadata"]["annotations"]["checksum/settings"] for name, pod in processes.items()}

    before, after = (
        restart_marks("ADMIN_PASSWORD=correct horse battery"),
        restart_marks("ADMIN_PASSWORD=correct horse battery", "PLATFORM_SECRET_ACCEPTED=" + "n" * 32),
    )
    assert before.keys() == after.keys() and before
    assert all(before[name] != after[name] for name in before)


def test_service_values_override_defaults_even_if_falsy() -> None:
    values = "services.users.worker=false,services.users.replicas=0,services.users.image.prefix="
    done = run("helm", "template", str(CHART), "--set", values)
    assert "users-worker" not in done.stdout
    assert "image: users:dev" in done.stdout
    assert "replicas: 0" in done.stdout


def _labels(pod: Doc) -> dict[str, str]:
    return dict(pod["metadata"].get("labels", {}))


def _environment(docs: list[Doc], pod: Doc) -> dict[str, str]:
    """Return the environment of the pod; a secret is some long text."""
    [container] = pod["spec"]["containers"]
    found: dict[str, Any] = {}
    for source in container.get("envFrom", []):
        found |= of_kind(docs, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for variable in container["env"]:
        found[variable["name"]] = variable.get("value", "x" * 40)
    return found
