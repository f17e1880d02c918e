"""The images: what they contain, what changes them, and that a service runs in one without privileges."""

import shutil
from pathlib import Path

import pytest

from mercato.catalog import catalog
from tests.containers.docker import Images, container, docker, ready
from tests.system.running import ROOT, eventually

pytestmark = pytest.mark.timeout(600)  # the first one may download all libraries
TAG = "test"
SETTINGS = {"PLATFORM_SECRET": "of a test, and of 32 characters or more", "DATA_DIR": "/tmp/data"}
LISTED = "find /app -name '*.py' -o -name '*.yaml' | sort"
NOT_COMPILED = """
import importlib.util, pathlib, sys
for root in ("/app", "/venv"):
    for path in pathlib.Path(root).rglob("*.py"):
        if not pathlib.Path(importlib.util.cache_from_source(path)).exists():
            print(path)
"""
WRITABLE = "find / -xdev -writable ! -type l ! -path '/dev/*' 2>/dev/null; true"
TOOLS = "command -v gcc cc make git pytest mypy ruff; python -c 'import pytest' 2>/dev/null && echo pytest; true"


@pytest.fixture(scope="module")
def images():
    made = Images(ROOT, TAG)
    made.base()
    made.service("orders")
    return made


def inside(image, script):
    """Return the words that a shell script prints in a container of this image."""
    return docker("run", "--rm", image, "sh", "-c", script).stdout.split()


def test_base_holds_only_the_messages_of_the_services(images):
    shared = ("/app/chassis/", "/app/mercato/")
    found = [path for path in inside(f"mercato/base:{TAG}", LISTED) if not path.startswith(shared)]
    shared_files = [ROOT / "services" / name / f"{file}.py" for name in catalog() for file in ("__init__", "messages")]
    messages = [f"/app/{path.relative_to(ROOT)}" for path in shared_files if path.exists()]
    assert found == sorted([*messages, "/app/services/__init__.py", "/app/charts/mercato/values.yaml"])


def test_service_image_adds_its_own_folder(images):
    before, after = (set(inside(f"mercato/{name}:{TAG}", LISTED)) for name in ("base", "orders"))
    own = {f"/app/{path.relative_to(ROOT)}" for path in (ROOT / "services" / "orders").rglob("*.py")}
    assert before <= after and own <= after
    assert {path.split("/")[3] for path in after - before} == {"orders"}


@pytest.mark.parametrize("name", ["base", "orders"])
def test_image_is_compiled_read_only_and_has_no_tools(images, name):
    image = f"mercato/{name}:{TAG}"
    assert docker("run", "--rm", image, "python", "-c", NOT_COMPILED).stdout == ""
    assert inside(image, "id -u; id -g") == ["10001", "10001"]
    assert set(inside(image, WRITABLE)) <= {"/tmp", "/var/tmp", "/run/lock"}
    assert inside(image, TOOLS) == []


@pytest.mark.parametrize("command", [(), ("mercato", "worker", "orders")], ids=["web", "worker"])
def test_service_runs_on_a_read_only_filesystem_and_stops(images, command):
    with container(f"mercato/orders:{TAG}", *command, **SETTINGS) as orders:
        eventually(lambda: ready(orders), within=60)
        docker("stop", "--time", "40", orders)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", orders).stdout.strip() == "0"


def test_change_of_a_service_changes_only_its_image(tmp_path):
    images = Images(copied(tmp_path), "changed")
    ids = [images.base(), images.service("orders"), images.service("users")]
    change(tmp_path / "services/orders/handlers.py")
    again = [images.base(), images.service("orders"), images.service("users")]
    assert [before == after for before, after in zip(ids, again, strict=True)] == [True, False, True]
    values = tmp_path / "charts/mercato/values.yaml"
    values.write_text("# changed\n" + values.read_text())
    assert images.base() == ids[0]
    change(tmp_path / "services/orders/messages.py")
    assert images.base() != ids[0]
    docker("rmi", *(f"mercato/{name}:changed" for name in ("base", "orders", "users")))


def test_development_image_restarts_when_a_file_changes(images):
    developed = Images(ROOT, "developed")
    developed.base(target="dev")
    developed.service("orders")
    change = "echo 'print(\"changed\", flush=True)' >> /tmp/app/services/orders/service.py"
    with container("mercato/orders:developed", **SETTINGS) as orders:
        eventually(lambda: ready(orders), within=60)
        docker("exec", orders, "sh", "-c", change)
        eventually(lambda: "changed" in docker("logs", orders).stdout, within=60)
        eventually(lambda: ready(orders), within=60)
        docker("stop", "--time", "40", orders)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", orders).stdout.strip() == "0"
    docker("rmi", "mercato/orders:developed", "mercato/base:developed")


def copied(folder: Path) -> Path:
    """Copy the files from which images are built into a folder, and return it."""
    for name in ("chassis", "mercato", "services", "charts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*ignore"), *ROOT.glob(".*ignore"), *ROOT.glob("Dockerfile*")):
        shutil.copy(path, folder)
    for file in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / file, folder)
    return folder


def change(path: Path) -> None:
    path.write_text(path.read_text() + "\n# changed\n")
