"""What the chart looks up in the cluster before it applies anything: Secrets, and the prefix of the release."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from mercato.catalog import catalog
from tests.charts.api_server import Cluster, serving
from tests.charts.rendering import CHART, of_kind, pods, run

USERS_URI = "services.users.secrets.MONGODB_URI=users-mongodb/uri"
EVERYWHERE = {name for entry in catalog().values() for name in (entry.name, f"{entry.name}-worker")[: 1 + entry.worker]}
KEPT = {"PLATFORM_SECRET": "p" * 40, "ADMIN_PASSWORD": "a" * 40, "MONGODB_URI": "mongodb://own"}


class Release:
    """The chart in a cluster that has its Secret already; `values` are those of `--set`."""

    def __init__(self, cluster: Cluster, config: Path) -> None:
        self.cluster, self._config = cluster, config
        self.put("mercato", **KEPT)

    def put(self, secret: str, **data: str) -> None:
        encoded = {key.replace("_dot_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.cluster.put("Secret", secret, **encoded)

    def refusal(self, *values: str) -> str:
        """Return the error of a render that fails."""
        code, _, error = self._render(*values)
        assert code == 1
        return error

    def text(self, *values: str) -> str:
        code, text, error = self._render(*values)
        assert code == 0, error
        return text

    def checksums(self, *values: str) -> dict[str, str]:
        """Return Deployment -> the annotation whose change restarts its pods."""
        docs = [doc for doc in yaml.safe_load_all(self.text(*values)) if doc]
        deployments = of_kind(docs, "Deployment")
        return {
            name: pod["metadata"]["annotations"]["checksum/settings"]
            for name, pod in pods(docs).items()
            if name in deployments
        }

    @contextmanager
    def restarts(self, *values: str) -> Iterator[set[str]]:
        """Yield the set of Deployments whose pods restart because of the block; it is filled at its end."""
        before, found = self.checksums(*values), set[str]()
        yield found
        after = self.checksums(*values)
        found |= {name for name in before if before[name] != after[name]}

    def _render(self, *values: str) -> tuple[int, str, str]:
        cluster = ("--dry-run=server", "--disable-openapi-validation", "--kubeconfig", str(self._config))
        sets = [argument for value in values for argument in ("--set", value)]
        done = run("helm", "template", "shop", str(CHART), "--namespace", "mercato", *cluster, *sets)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    cluster = Cluster()
    with serving(cluster, tmp_path) as config:
        yield Release(cluster, config)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (USERS_URI, "users: MONGODB_URI: namespace mercato has no Secret users-mongodb with the key uri"),
        ("services.users.secrets.SMTP_URL=mail", "no Secret mail with the key SMTP_URL"),
        ("defaults.secrets.KAFKA_SASL_PASSWORD=kafka/password", "no Secret kafka with the key password"),
        ("defaults.authority=authority/ca.crt", "authority: namespace mercato has no Secret authority"),
        ("services.users.secrets.SMTP_URL=", "users: SMTP_URL: namespace mercato has no Secret mercato"),
        ("secret.existing=gone", "no Secret gone in namespace mercato"),
    ],
)
def test_missing_secret_or_key_is_named_before_anything_is_applied(release: Release, value: str, named: str) -> None:
    assert named in release.refusal(value)
    for name in ("users-mongodb", "mail", "kafka", "authority"):
        release.put(name, other="x")
    assert named in release.refusal(value)


def test_secrets_that_exist_are_accepted_and_no_value_of_them_is_rendered(release: Release) -> None:
    release.put("users-mongodb", uri="mongodb://theirs")
    release.put("authority", ca_dot_crt="certificate")
    text = release.text(USERS_URI, "defaults.authority=authority/ca.crt")
    for secret in ("mongodb://theirs", "certificate"):
        assert secret not in text and base64.b64encode(secret.encode()).decode() not in text


def test_secret_of_the_next_platform_secret_may_be_absent(release: Release) -> None:
    release.text("defaults.secrets.PLATFORM_SECRET_ACCEPTED=next/secret")


def test_pods_restart_if_a_secret_changes_that_they_read(release: Release) -> None:
    release.put("users-mongodb", uri="mongodb://first", other="x")
    with release.restarts(USERS_URI) as nothing:
        release.put("users-mongodb", uri="mongodb://first", other="changed")
    assert nothing == set()
    with release.restarts(USERS_URI) as restarted:
        release.put("users-mongodb", uri="mongodb://second")
    assert restarted == {"users", "users-worker"}


@pytest.mark.parametrize("key", ["PLATFORM_SECRET", "MONGODB_URI"])
def test_all_pods_restart_if_the_secret_of_the_platform_changes(release: Release, key: str) -> None:
    release.put("own", **KEPT)
    with release.restarts("secret.existing=own") as restarted:
        release.put("own", **KEPT | {key: "q" * 40})
    assert restarted == EVERYWHERE


def test_all_pods_restart_if_the_authority_changes(release: Release) -> None:
    release.put("authority", ca_dot_crt="first")
    with release.restarts("defaults.authority=authority/ca.crt") as restarted:
        release.put("authority", ca_dot_crt="second")
    assert restarted == EVERYWHERE


def test_password_of_the_administrator_restarts_nothing(release: Release) -> None:
    with release.restarts() as restarted:
        release.put("mercato", **KEPT | {"ADMIN_PASSWORD": "b" * 40})
    assert restarted == set()


def test_where_helm_only_renders_a_revision_restarts_all_pods() -> None:
    def checksums(*values: str) -> dict[str, str]:
        sets = [part for value in ("secret.existing=own", USERS_URI, *values) for part in ("--set", value)]
        done = run("helm", "template", "shop", str(CHART), "--namespace", "mercato", *sets)
        assert done.returncode == 0, done.stderr
        docs = [doc for doc in yaml.safe_load_all(done.stdout) if doc]
        found = pods(docs)
        return {name: found[name]["metadata"]["annotations"]["checksum/settings"] for name in EVERYWHERE}

    before, again, raised = checksums(), checksums(), checksums("secret.revision=1")
    assert before == again
    assert all(before[name] != raised[name] for name in EVERYWHERE)


def test_prefix_of_a_release_cannot_change(release: Release) -> None:
    release.cluster.put("ConfigMap", "users", PREFIX="north-")
    for values in ([], ["prefix=south-"]):
        assert 'prefix: it is "north-"; a new one begins an empty shop' in release.refusal(*values)
    release.text("prefix=north-")
    release.cluster.put("ConfigMap", "users", KAFKA_BOOTSTRAP_SERVERS="kafka:9092")  # as 0.2.0 wrote it
    release.text()
    assert 'prefix: it is ""' in release.refusal("prefix=south-")
