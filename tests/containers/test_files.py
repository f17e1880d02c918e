"""docker-compose.yml, k8s/, skaffold.yaml and the Dockerfiles agree with the services, the settings and the chart."""

import json
import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from chassis.settings import Settings
from mercato.catalog import CHART, catalog
from mercato.settings import models
from tests.system.running import ROOT

K8S = ROOT / "k8s"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SKAFFOLD = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
OURS = {name: each for name, each in COMPOSE.items() if each["image"].startswith("mercato/")}
MANIFESTS = {
    path.relative_to(K8S): list(yaml.safe_load_all(path.read_text()))
    for path in K8S.rglob("*.yaml")
    if path.name not in ("kind.yaml", "kustomization.yaml") and "observability" not in path.relative_to(K8S).parts
}
ON_DEMAND = {Path("mailpit/mailpit.yaml")}
OPENTELEMETRY = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_LOGS_EXPORTER"}


def objects(kind: str) -> dict[str, Any]:
    """Return name -> object of this kind in k8s/."""
    return {
        each["metadata"]["name"]: each for manifest in MANIFESTS.values() for each in manifest if each["kind"] == kind
    }


def default(text: str) -> str:
    """Return the text as Compose reads it if none of its variables is set."""
    return re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text).replace("$$", "$")


def test_compose_runs_processes_for_each_service_of_the_chart():
    expected: dict[str, Any] = {}
    for name, entry in catalog().items():
        expected[name] = (f"mercato/{name}:dev", None)
        if entry.worker:
            expected[f"{name}-worker"] = (f"mercato/{name}:dev", ["mercato", "worker", name])
    found = {name: (default(each["image"]), each.get("command")) for name, each in OURS.items()}
    assert found.pop("router") == ("mercato/base:dev", ["mercato", "router"])
    assert found.pop("administrator")[0] == "mercato/users:dev"
    assert found == expected


@pytest.mark.parametrize("name", OURS)
def test_compose_sets_only_known_settings(name):
    environment = {variable: default(value) for variable, value in COMPOSE[name]["environment"].items()}
    known = {field.upper() for model in models().values() for field in model.model_fields}
    assert set(environment) - OPENTELEMETRY <= known
    settings = Settings.from_environment(environment)
    assert settings.addresses == {service: f"{service}:8080" for service in catalog()}
    assert len(settings.platform_secret.get_secret_value()) >= 32
    assert settings.platform_secrets == (settings.platform_secret.get_secret_value(),)
    assert any(ip_address("172.18.0.5") in network for network in settings.trusted_proxies)


def test_compose_publishes_ports_on_loopback_only():
    published = [port for each in COMPOSE.values() for port in each.get("ports", [])]
    assert len(published) > 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_restricts_processes_like_the_chart():
    for name, each in OURS.items():
        assert (each["read_only"], each["tmpfs"], each["cap_drop"]) == (True, ["/tmp"], ["ALL"]), name


def test_every_image_has_a_tag_other_than_latest():
    named = [default(each["image"]) for each in COMPOSE.values()]
    named += re.findall(r"\bimage: ([^\s,}]+)", "".join(path.read_text() for path in K8S.rglob("*.yaml")))
    for file in ("Dockerfile.base", "services/Dockerfile"):
        named += re.findall(r"^ARG (?:BASE|PYTHON)=(.*)", (ROOT / file).read_text(), re.MULTILINE)
    assert len(named) > 10
    assert [name for name in named if ":" not in name or name.endswith(":latest")] == []


def test_compose_and_the_cluster_run_the_same_engines():
    for name, engine in objects("StatefulSet").items():
        (container,) = engine["spec"]["template"]["spec"]["containers"]
        assert container["image"] == COMPOSE[name]["image"]


def test_engines_have_the_addresses_of_the_chart():
    values = yaml.safe_load(CHART.read_text())
    services = objects("Service")
    assert values["secret"]["values"]["MONGODB_URI"] == f"mongodb://mongodb:{port(services['mongodb'])}"
    assert values["defaults"]["settings"]["KAFKA_BOOTSTRAP_SERVERS"] == f"kafka:{port(services['kafka'])}"
    assert {services[name]["metadata"]["namespace"] for name in ("mongodb", "kafka")} == {"mercato"}


def port(service: Any) -> int:
    (found,) = service["spec"]["ports"]
    return int(found["port"])


@pytest.mark.parametrize("file", ["Dockerfile.base", "services/Dockerfile"])
def test_image_runs_as_a_numbered_unprivileged_user(file):
    users = {"${BASE}": "10001:10001"}
    stage = ""
    for line in (ROOT / file).read_text().splitlines():
        word, *rest = line.split() or [""]
        if word == "FROM":
            stage = rest[-1] if "AS" in rest else "last"
            users[stage] = users.get(rest[0], "root")
        elif word == "USER":
            users[stage] = rest[0]
    assert users["last"] == "10001:10001"
    assert users.get("dev", "10001:10001") == "10001:10001"


def test_kustomization_lists_every_file():
    listed = yaml.safe_load((K8S / "kustomization.yaml").read_text())["resources"]
    assert sorted(map(Path, listed)) == sorted(MANIFESTS.keys() - ON_DEMAND)


def test_compose_and_the_cluster_run_the_same_mailpit():
    (container,) = objects("Deployment")["mailpit"]["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"]) == (COMPOSE["mailpit"]["image"], COMPOSE["mailpit"]["command"])


def test_kind_maps_the_ingress_ports_on_loopback():
    (node,) = yaml.safe_load((K8S / "kind.yaml").read_text())["nodes"]
    (controller,) = objects("Deployment")["traefik"]["spec"]["template"]["spec"]["containers"]
    opened = {each["containerPort"] for each in node["extraPortMappings"]}
    assert opened == {each["hostPort"] for each in controller["ports"] if "hostPort" in each}
    assert {each["listenAddress"] for each in node["extraPortMappings"]} == {"127.0.0.1"}


def test_skaffold_builds_an_image_for_each_service_and_deploys_it():
    base, *services = SKAFFOLD["build"]["artifacts"]
    assert base["image"] == "mercato/base"
    assert services == [
        {
            "image": f"mercato/{name}",
            "requires": [{"image": "mercato/base", "alias": "BASE"}],
            "docker": {"dockerfile": "services/Dockerfile", "buildArgs": {"SERVICE": name}},
            "sync": {"manual": [{"src": f"services/{name}/**/*.py", "dest": "/tmp/app"}]},
        }
        for name in catalog()
    ]
    (release,) = SKAFFOLD["deploy"]["helm"]["releases"]
    templates = release["setValueTemplates"]
    assert templates.pop("defaults.image.prefix") and templates.pop("defaults.image.tag")
    assert templates == {f"services.{name}.image.tag": f"{{{{ .IMAGE_TAG_mercato_{name} }}}}" for name in catalog()}


def test_skaffold_names_existing_files():
    for artifact in SKAFFOLD["build"]["artifacts"]:
        assert (ROOT / artifact["docker"]["dockerfile"]).is_file()
    for release in SKAFFOLD["deploy"]["helm"]["releases"]:
        assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    (dev,) = [each for each in SKAFFOLD["profiles"] if each["name"] == "dev"]
    assert f"AS {dev['patches'][0]['value']}\n" in (ROOT / "Dockerfile.base").read_text()


def test_skaffold_yaml_matches_its_schema():
    schema = os.environ.get("SKAFFOLD_SCHEMA")
    if not schema:
        pytest.skip("set SKAFFOLD_SCHEMA to the file with the schema of skaffold.yaml")
    jsonschema.validate(SKAFFOLD, json.loads(Path(schema).read_text()))
