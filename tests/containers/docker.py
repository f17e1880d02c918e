"""Docker for tests: images of a source tree, and containers with the restrictions of a cluster.

    images = Images(tree, "test")
    images.base()                      # the id of mercato/base:test
    images.service("orders")           # that of mercato/orders:test
    with container("mercato/orders:test", DATA_DIR="/tmp/data") as orders:
        eventually(lambda: ready(orders))

DOCKER names the command, such as `docker`, with BuildKit; without it these tests are skipped.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.running import ROOT

LIMITS = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
"""The restrictions of every process in the chart and in docker-compose.yml."""
PROBE = "import urllib.request as to; to.urlopen('http://127.0.0.1:9090/readyz', timeout=2)"


def docker(*arguments: str, check: bool = True, timeout: float = 400) -> subprocess.CompletedProcess[str]:
    """Run a docker command to its end."""
    command = os.environ.get("DOCKER")
    if not command:
        pytest.skip("set DOCKER to the command, such as docker")
    done = subprocess.run(
        [command, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"DOCKER_BUILDKIT": "1"},
    )
    assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}: {done.stderr}"
    return done


class Compose:
    """A project of docker-compose.yml; `settings` are the variables of that file.

    Uses `docker compose`, or `docker-compose` if docker has no such plugin.
    """

    def __init__(self, project: str, **settings: str) -> None:
        old = shutil.which("docker-compose")
        plugin = docker("compose", "version", check=False).returncode == 0
        if not plugin and old is None:
            pytest.skip("needs `docker compose` or `docker-compose`")
        command = [os.environ["DOCKER"], "compose"] if plugin or old is None else [old]
        self._command = [*command, "--project-name", project, "--file", str(ROOT / "docker-compose.yml")]
        self._environment = os.environ | settings

    def __call__(self, *arguments: str) -> str:
        command = [*self._command, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=self._environment)
        assert done.returncode == 0, f"compose {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def states(self, form: str) -> dict[str, str]:
        """Return container -> output of `docker inspect --format` with this form."""
        ids = self("ps", "--quiet", "--all").split()
        shown = docker("inspect", "--format", f"{{{{.Name}}}} {form}", *ids).stdout.splitlines()
        return {name: state for name, _, state in (line.partition(" ") for line in shown)}


class Images:
    """The images of a source tree, all with one tag."""

    def __init__(self, tree: Path, tag: str) -> None:
        self.tree, self.tag = tree, tag

    def base(self, target: str = "") -> str:
        return self._build("Dockerfile.base", "base", *(["--target", target] if target else []))

    def service(self, name: str) -> str:
        arguments = ["--build-arg", f"SERVICE={name}", "--build-arg", f"BASE=mercato/base:{self.tag}"]
        return self._build("services/Dockerfile", name, *arguments)

    def _build(self, file: str, name: str, *arguments: str) -> str:
        build = ["build", "--quiet", "--file", str(self.tree / file), "--tag", f"mercato/{name}:{self.tag}"]
        return docker(*build, *arguments, str(self.tree)).stdout.strip()


@contextmanager
def container(image: str, *command: str, **settings: str) -> Iterator[str]:
    """Run a container with the restrictions of a cluster until the end of the block, and yield its id."""
    environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    id = docker("run", "--detach", *LIMITS, *environment, image, *command).stdout.strip()
    try:
        yield id
    finally:
        docker("rm", "--force", "--volumes", id)


def ready(id: str) -> bool:
    """Return whether the service in the container is ready."""
    return docker("exec", id, "python", "-ISc", PROBE, check=False).returncode == 0
