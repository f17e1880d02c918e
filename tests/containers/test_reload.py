"""The process of a development container restarts when `skaffold dev` changes its files."""

import os
import subprocess
import sys

import pytest

from tests.system.running import ROOT, eventually

KEEP = "import pathlib, sys; from mercato.cli.reload import keep_running; keep_running(sys.argv[1:], pathlib.Path())"
SERVE = "import time\nfrom greeting import WHAT\nprint(WHAT, flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def developed(tmp_path):
    """Start a process and yield (its folder, a function that returns what it has printed)."""
    (tmp_path / "serve.py").write_text(SERVE)
    (tmp_path / "greeting.py").write_text("WHAT = 'one'")
    output = tmp_path / "output.txt"
    with output.open("w") as out:
        command = [sys.executable, "-c", KEEP, sys.executable, "serve.py"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=out)
    yield tmp_path, lambda: output.read_text().split("\n")
    process.terminate()
    assert process.wait(20) == 0


def test_process_restarts_when_an_imported_file_changes(developed):
    folder, printed = developed
    eventually(lambda: "one" in printed())
    (folder / "greeting.py").write_text("WHAT = 'another'")
    eventually(lambda: "another" in printed())


def test_failing_process_is_retried_until_it_is_fixed(developed):
    folder, printed = developed
    eventually(lambda: "one" in printed())
    (folder / "greeting.py").write_text("WHAT = ")
    eventually(lambda: any("SyntaxError" in line for line in printed()))
    (folder / "greeting.py").write_text("WHAT = 'fixed'")
    eventually(lambda: "fixed" in printed())
