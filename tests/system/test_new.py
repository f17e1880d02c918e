"""`mercato new` creates a working service, and every step of docs/building-a-service.md works on it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.platform import Shop
from tests.system.running import ROOT

BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs" / "building-a-service.md").read_text(), re.DOTALL)
URL = "http://127.0.0.1:8080"
BIN = Path(sys.executable).parent
CREATED = "services/reviews tests/unit/reviews tests/system/test_reviews.py"
SHORTER = {
    "make new": "make -o .venv/.installed new",  # installs nothing
    "make lint": f".venv/bin/ruff check {CREATED} && .venv/bin/ruff format --check {CREATED} && .venv/bin/lint-imports "
    "&& .venv/bin/mypy --follow-imports silent services/reviews",
}
"""Shorter forms of commands of the page: everything is installed, and only the new files are checked."""


class Copy:
    """A copy of the source tree in another folder, without its history."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (ROOT / ".git").exists():
            pytest.skip("needs git to list the files of the tree")
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in listed.split("\0"):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(BIN.parent)
        self.shop = Shop(folder, RATE_LIMITS="off", PYTHONPATH=str(folder), MERCATO_VALUES=None)
        own = {name: value for name, value in self.shop.environment.items() if not name.startswith("PYTEST_")}
        slow = "-p no:schemathesis -p no:hypothesispytest"  # saves two seconds per run of pytest
        self.environment = {**own, "TMPDIR": str(folder.parent), "PYTEST_ADDOPTS": slow}

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=150
        )

    def follow(self, script: str) -> None:
        """Run a block of commands; `make up` does not return, so `mercato up --detach` replaces it."""
        if script == "make up\n":
            self.shop.up()
            return
        if URL in script:
            script = script.replace(URL, self.shop.url) + "\n.venv/bin/mercato down"
        for command, shorter in SHORTER.items():
            script = script.replace(command, shorter)
        done = self.run(script)
        assert done.returncode == 0, script + done.stdout + done.stderr

    def change(self, block: str) -> None:
        """Apply the change that a block shows."""
        head, _, hunks = block.partition("\n")
        path = self.folder / head.removeprefix("+++ ")
        text = path.read_text() if path.exists() else ""
        for hunk in hunks.removesuffix("\n").split("\n@@\n"):
            lines = [(line[:1] or " ", line[1:] + "\n") for line in hunk.split("\n")]
            old, new = ("".join(line for mark, line in lines if mark != other) for other in "+-")
            assert not old or text.count(old) == 1, f"{path.name}: no single place for\n{hunk}"
            text = text.replace(old, new) if old else text + new
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def files(self) -> dict[str, bytes]:
        paths = (path for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    made = Copy(tmp_path / "copy")
    try:
        yield made
    finally:
        made.shop.down()


@pytest.mark.timeout(400)
def test_every_step_of_the_page_works(copy: Copy) -> None:
    found = copy.run(
        ".venv/bin/python -c 'import chassis, services; print(chassis.__file__, services.__file__)'"
    ).stdout
    assert found.count(str(copy.folder)) == 2
    for kind, text in BLOCKS:
        if kind == "diff":
            copy.change(text)
        elif kind == "bash":
            copy.follow(text)
    assert (copy.folder / "services" / "reviews" / "contract" / "openapi.yaml").is_file()


def test_new_rejects_an_invalid_or_taken_name(copy: Copy) -> None:
    before = copy.files()
    for name in ("", "Reviews", "re/views", "on"):
        assert f"{name!r} is not a valid service name" in rejection(copy, name)
    for name, by in (("orders", "/api/orders"), ("auth", "/api/auth"), ("chassis", "tests/unit/chassis")):
        assert f"{name!r} is taken by {by}" in rejection(copy, name)
    assert copy.files() == before


def test_new_that_fails_midway_leaves_nothing_behind(copy: Copy) -> None:
    (copy.folder / "charts" / "mercato" / "values.new").mkdir()
    before = copy.files()
    assert copy.run(".venv/bin/mercato new reviews").returncode == 1
    assert copy.files() == before
    assert not (copy.folder / "services" / "reviews").exists()
    assert not (copy.folder / "tests" / "unit" / "reviews").exists()


def test_new_adds_its_entry_and_keeps_the_rest_of_the_chart(copy: Copy) -> None:
    chart = copy.folder / "charts" / "mercato" / "values.yaml"
    before = chart.read_text() + "  # a remark\n\n# about images\nimages:\n  tag: dev\n"
    chart.write_text(before)
    copy.follow(".venv/bin/mercato new reviews")
    entry = "  reviews:\n    routes: [/api/reviews]\n    worker: true\n    calls: [users]\n"
    assert chart.read_text() == before.replace("  # a remark\n", f"  # a remark\n{entry}")


def test_new_adds_the_service_to_every_list(copy: Copy) -> None:
    copy.follow(".venv/bin/mercato new reviews")
    files = "tests/containers/test_files.py tests/observability/test_setup.py"
    copy.follow(f".venv/bin/pytest {files} -k 'each_service_of_the_chart or every_process or for_each_service'")


def rejection(copy: Copy, name: str) -> str:
    """Return the one line with which `mercato new` rejects a name."""
    done = copy.run(f".venv/bin/mercato new '{name}'")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    return done.stderr
