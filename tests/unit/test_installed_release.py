"""A recorded release runs its own code with its own libraries: see tests/releases/installed.py."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.releases import installed
from tests.releases.installed import NotInstallable, Release, install, latest_version, locked, unpack
from tests.system.running import ROOT

LOCK = "flask==3.1.0 \\\n    --hash=sha256:00\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:01\n"


def test_release_runs_the_code_of_its_commit() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("there is no git history here")
    version = latest_version()
    commit = json.loads((installed.FOLDER / version / "release.json").read_text())["commit"]
    release = Release(version, unpack(version, commit, installed.CACHE / version), Path(sys.executable))
    assert json.loads((release.code / "tests/releases/0.1.0/release.json").read_text())["version"] == "0.1.0"
    for package in ("chassis", "mercato", "services"):
        assert release.run(f"import {package}; print({package}.__file__)").startswith(str(release.code))


def test_clone_without_the_commit_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setattr(installed, "ROOT", tmp_path)
    monkeypatch.setattr(installed, "CACHE", tmp_path / "cache")
    with pytest.raises(NotInstallable, match="is not in the history of this clone; run `git fetch --unshallow`"):
        install(latest_version())


@pytest.mark.parametrize(
    ("present", "is_shared"),
    [(LOCK, True), (f"{LOCK}pillow==12.0.0\n", True), (LOCK.replace("3.1.0", "3.1.1"), False), ("", False)],
    ids=["same", "more libraries", "another version", "fewer libraries"],
)
def test_release_shares_the_libraries_only_if_they_are_the_same(
    present: str, is_shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "requirements.lock").write_text(LOCK)
    (tmp_path / "requirements.lock").write_text(present)
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "requirements.lock").write_text(LOCK)  # installed by an earlier run
    monkeypatch.setattr(installed, "ROOT", tmp_path)
    own = tmp_path / "venv" / "bin" / "python"
    assert installed.interpreter(tmp_path / "code", tmp_path) == (Path(sys.executable) if is_shared else own)


def test_lock_names_each_library_with_its_version(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(LOCK)
    assert locked(tmp_path / "requirements.lock") == {"flask==3.1.0", "colorama==0.4.6"}
