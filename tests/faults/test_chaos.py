"""The chaos test on MongoDB and Kafka; `make chaos` and `make soak` run it on the embedded engines."""

import os
import subprocess
import sys

import pytest

from tests import engines
from tests.system.running import ROOT


@pytest.mark.skipif(not engines.wanted(), reason="`make chaos` runs it")
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_data_is_consistent_after_a_chaos_run_on_engines() -> None:
    environment = os.environ | {"PYTEST_XDIST_WORKER": f"{engines.worker()}-chaos"}  # engines of its own
    command = [sys.executable, "-m", "tests.faults.chaos", "--long", "--engines"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
