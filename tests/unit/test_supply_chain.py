"""What builds and runs the platform is named exactly: actions by commit, images by version, and by digest on demand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DOCKER = """#!/bin/sh
[ "$1 $2 $3" = "buildx imagetools inspect" ] || exit 9
for image; do :; done
case $image in */missing:*|*:0.0.0) echo "not found" >&2; exit 1;; esac
printf 'sha256:%s\\n' "$(printf %s "$image" | sha256sum | cut -d' ' -f1)"
"""


def _steps() -> list[dict[str, Any]]:
    found = [yaml.safe_load(path.read_text()) for path in WORKFLOWS]
    return [step for workflow in found for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_action_is_pinned_by_commit_with_its_version() -> None:
    used = [line.strip() for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_workflows_may_only_read_and_keep_no_credentials() -> None:
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}, path.name
    checkouts = [step for step in _steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_an_sbom_and_a_vulnerability_report_are_made_of_the_images() -> None:
    used = {step["uses"].partition("@")[0] for step in _steps() if "uses" in step}
    assert {"anchore/sbom-action", "anchore/scan-action", "actions/upload-artifact"} <= used


def test_every_image_has_an_exact_version(tool: Any) -> None:
    named = [match[2] for path in tool.files() for match in tool.IMAGE.finditer(path.read_text())]
    lines = [line for path in tool.files() for line in path.read_text().splitlines() if re.match(r" *image: ", line)]
    assert len(named) > 15
    assert {line for line in lines if not tool.IMAGE.match(line) and 'image: "mercato/' not in line} == set()
    for image in named:
        assert re.search(r":v?\d+\.\d+\.\d+(-[\w.-]+)?$", image), image


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import pin_images

    return pin_images


@pytest.fixture
def checkout(tmp_path: Path, tool: Any) -> Path:
    """A copy of the files that name images, with a `docker` that knows a digest for each."""
    for path in [*tool.files(), ROOT / "tools" / "pin_images.py", *ROOT.glob("services/*/service.py")]:
        target = tmp_path / "tree" / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    return tmp_path / "tree"


def _run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{checkout.parent / 'bin'}:/usr/bin:/bin"}
    command = [sys.executable, "tools/pin_images.py", *arguments]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def test_pinning_names_the_digest_of_every_foreign_image_and_can_be_repeated(checkout: Path) -> None:
    done = _run(checkout)
    assert done.returncode == 0, done.stderr
    text = (checkout / "docker-compose.yml").read_text()
    found = {str(each.get("image")) for each in yaml.safe_load(text)["services"].values()}
    foreign = {image for image in found if not image.startswith("mercato/")}
    assert foreign and all(re.fullmatch(r"[\w./:-]+@sha256:[0-9a-f]{64}", image) for image in foreign)
    assert re.search(r"^ARG PYTHON=python:\S+@sha256:[0-9a-f]{64}$", (checkout / "Dockerfile.base").read_text(), re.M)
    assert _run(checkout).returncode == 0
    assert (checkout / "docker-compose.yml").read_text() == text


def test_nothing_is_written_if_an_image_is_missing(checkout: Path) -> None:
    path = checkout / "k8s" / "mongodb" / "mongodb.yaml"
    path.write_text(re.sub(r"image: mongo:\S+", "image: mongo:0.0.0", path.read_text()))
    before = (checkout / "docker-compose.yml").read_text()
    done = _run(checkout)
    assert done.returncode == 1 and "mongo:0.0.0: no digest: not found" in done.stderr
    assert (checkout / "docker-compose.yml").read_text() == before


def test_values_for_a_release_name_the_digest_of_each_service(checkout: Path) -> None:
    values = yaml.safe_load(_run(checkout, "registry.example.com/mercato/", "1.2.0").stdout)
    assert set(values["services"]) == {path.parent.name for path in ROOT.glob("services/*/service.py")}
    for entry in values["services"].values():
        assert re.fullmatch(r"1\.2\.0@sha256:[0-9a-f]{64}", entry["image"]["tag"])
