"""A recorded release as it ran: the code of its commit and the libraries of its lock.

They are in `.mercato/releases/<version>/`:

    code/    the tree of the commit, from the history of this clone
    venv/    the libraries, unless those of the present lock are the same

Both are made once and kept. The history must hold the commit: a clone of depth 1 does not.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.system.running import ROOT

FOLDER = Path(__file__).parent
CACHE = ROOT / ".mercato" / "releases"
_LOCKED = re.compile(r"^([a-z0-9._-]+==[^ \\]+)", re.MULTILINE)


class NotInstallable(Exception):
    """A release cannot be installed here; the message says why and what to do."""


@dataclass(frozen=True)
class Release:
    """`python` is an interpreter with the libraries of the release; `code` is the folder of its packages."""

    version: str
    code: Path
    python: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process of this release needs in its environment."""
        return {"PYTHONPATH": str(self.code)}

    def run(self, script: str) -> str:
        """Run Python code in this release, and return what it prints."""
        done = subprocess.run(
            [str(self.python), "-c", script],
            cwd=self.code,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def latest_version() -> str:
    """Return the latest recorded version."""
    versions = [path.parent.name for path in FOLDER.glob("*/release.json")]
    return max(versions, key=lambda version: [int(number) for number in version.split(".")])


def install(version: str) -> Release:
    """Install a recorded release, or find it installed.

    Raises: NotInstallable.
    """
    commit = json.loads((FOLDER / version / "release.json").read_text())["commit"]
    code = unpack(version, commit, CACHE / version)
    return Release(version, code, interpreter(code, CACHE / version))


def locked(lock: Path) -> set[str]:
    """Return the `name==version` of every library of a lock."""
    return set(_LOCKED.findall(lock.read_text()))


def unpack(version: str, commit: str, folder: Path) -> Path:
    """Return the folder with the code of a commit. Raises: NotInstallable."""
    code = folder / "code"
    if (code / commit).exists():
        return code
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise NotInstallable(
            f"release {version} cannot be installed: its commit {commit} is not in the history of this clone; "
            "run `git fetch --unshallow`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as draft:
        archive = Path(draft, "code.tar")
        if failed := _git("archive", f"--output={archive}", commit).stderr:
            raise NotInstallable(f"release {version} cannot be installed: {failed}")
        shutil.unpack_archive(archive, Path(draft, "code"), filter="data")
        Path(draft, "code", commit).touch()
        shutil.rmtree(code, ignore_errors=True)
        Path(draft, "code").rename(code)
    return code


def interpreter(code: Path, folder: Path) -> Path:
    """Return an interpreter with the libraries that the lock of the release names, in exactly these versions.

    Raises: NotInstallable.
    """
    lock = code / "requirements.lock"
    if locked(lock) <= locked(ROOT / "requirements.lock"):
        return Path(sys.executable)
    python, complete = folder / "venv" / "bin" / "python", folder / "venv" / "requirements.lock"
    if complete.exists() and complete.read_bytes() == lock.read_bytes():
        return python
    print(f"Installing the libraries of release {code.parent.name} ...", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / "venv")], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    if subprocess.run([*pip, "--requirement", str(lock)]).returncode:
        raise NotInstallable(f"release {code.parent.name} cannot be installed: pip could not install {lock}")
    shutil.copy(lock, complete)
    return python


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
