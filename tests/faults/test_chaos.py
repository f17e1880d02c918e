"""The storm on real engines; on the embedded ones `make chaos` lets it loose."""

import os
import subprocess
import sys

import pytest

from tests import engines
from tests.system.running import ROOT


@pytest.mark.skipif(not engines.wanted(), reason="`make chaos` runs it")
@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_storm_leaves_the_books_of_a_platform_that_sells_as_they_must_be() -> None:
    apart = os.environ | {"PYTEST_XDIST_WORKER": f"{engines.worker()}-chaos"}
    command = [sys.executable, "-m", "tests.faults.chaos", "--engines"]
    done = subprocess.run(command, cwd=ROOT, env=apart, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
