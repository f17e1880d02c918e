"""The schema of the values rejects wrong values by name."""

import json
from typing import Any

import pytest

from mercato.settings import models
from tests.charts.rendering import CHART, template

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
NOT_VALUES = {
    "ADDRESSES",
    "PREFIX",
    "INSTALLATION",
    "HOST",
    "PORT",
    "HEALTH_PORT",
    "DATA_DIR",
    "REPLICAS",
    "STRICT_ERRORS",
    "MAIL_DIR",
}
"""Settings that the chart sets itself, or that have no meaning in a cluster."""
ADMIN = {"ADMIN_EMAIL", "ADMIN_PASSWORD", "ADMIN_TOKEN"}
DEFAULTS = {
    name.upper(): value
    for model in models().values()
    for name, value in model.from_environment({}).model_dump().items()
}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("defaults.replicas=two", "replicas"),
        ("services.users.replicas=two", "/services/users/replicas"),
        ("services.users.replica=2", "replica"),
        ("services.users.routes={/}", "/services/users/routes/0"),
        ("services.users.routes={/internal}", "/services/users/routes/0"),
        ("services.users.exact={/metrics}", "/services/users/exact/0"),
        ("services.users.image.tga=1", "tga"),
        ("services.Users.worker=true", "Users"),
        ("ingres.enabled=true", "ingres"),
        ("edge.ingress.clas=nginx", "clas"),
        ("edge=null", "edge"),
        ("prefix=North-", "prefix"),
        ("prefix=north.", "prefix"),
        ("defaults.settings.PREFIX=north-", "PREFIX"),
        ("secret.revision=new", "revision"),
        ("edge.ingress.tlsSecret=shop-tls", "host"),
        ("edge.httpRoute.enabled=true", "gateway"),
        ("defaults.settings.CURENCY=EUR", "CURENCY"),
        ("defaults.settings.LEASE=10", "LEASE"),
        ("defaults.settings.LOG_LEVEL=loud", "LOG_LEVEL"),
        ("defaults.settings.RATE_USER=fast", "RATE_USER"),
        ("defaults.settings.CORS_ORIGINS=*", "CORS_ORIGINS"),
        ("defaults.settings.HSTS=year", "HSTS"),
        ("defaults.settings.MONGODB_URI=mongodb://elsewhere", "MONGODB_URI"),
        ("defaults.settings.ADDRESSES=users=elsewhere", "ADDRESSES"),
        ("defaults.resources.limits.cpus=1", "cpus"),
        ("defaults.egress[0].from=x", "from"),
        ("networkPolicy.egress.dns.to[0].podSelectr=x", "podSelectr"),
        ("secret.values.PLATFORM_SECRET=short", "PLATFORM_SECRET"),
        ("secret.values.MONGODB_URI=", "MONGODB_URI"),
        ("secret.values.MONGODB_URI=null", "MONGODB_URI"),
        ("defaults.secrets.KAFKA_SASL_PASSWORD=", "KAFKA_SASL_PASSWORD"),
        ("defaults.settings.KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_SASL_PASSWORD"),
    ],
)
def test_wrong_value_is_rejected_by_name(value: str, named: str) -> None:
    done = template("--set", value)
    assert done.returncode == 1
    assert named in done.stderr
    assert not done.stdout


def test_schema_rejects_unknown_keys() -> None:
    free = {path for path, each in _objects(SCHEMA, "") if each.get("additionalProperties") is not False}
    assert free == {
        "/properties/global",  # belongs to a chart around this one
        "/definitions/texts",  # labels, annotations
        "/properties/networkPolicy/properties/egress",  # rules, by names of one's own
    }


def test_schema_lists_every_setting() -> None:
    service = SCHEMA["definitions"]["service"]["properties"]
    plain, secret = set(service["settings"]["properties"]), set(service["secrets"]["properties"])
    assert plain | secret == DEFAULTS.keys() - NOT_VALUES - ADMIN
    assert plain & secret == {"KAFKA_SASL_USERNAME"}
    assert secret - plain <= set(SCHEMA["properties"]["secret"]["properties"]["values"]["properties"])


def test_schema_accepts_the_defaults_of_the_code() -> None:
    arguments = [
        part
        for name in SCHEMA["definitions"]["service"]["properties"]["settings"]["properties"]
        if isinstance(DEFAULTS[name], str | int | float)
        for part in ("--set-string", f"defaults.settings.{name}={DEFAULTS[name]}")
    ]
    done = template(*arguments)
    assert done.returncode == 0, done.stderr


def _objects(value: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Return every schema of an object with its path."""
    if isinstance(value, list):
        return [found for number, each in enumerate(value) for found in _objects(each, f"{path}/{number}")]
    if not isinstance(value, dict):
        return []
    nested = [found for key, each in value.items() for found in _objects(each, f"{path}/{key}")]
    return [(path, value), *nested] if value.get("type") == "object" else nested
