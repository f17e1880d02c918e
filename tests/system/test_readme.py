"""The README is correct: its commands and blocks run as they are."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import requests

from tests.run import PLANS
from tests.system.running import ROOT, eventually, free_port

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
URL = "http://127.0.0.1:8080"


def stages_of(plan):
    return {stage for group in PLANS[plan] for lane in group for stage in lane}


def block(part):
    (found,) = [each for each in BLOCKS if part in each]
    return found


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Run `make up` with its own port and folder, and yield (environment, URL, output file)."""
    port = free_port()
    folder = tmp_path_factory.mktemp("readme") / "data"
    environment = {**os.environ, "PORT": str(port), "DATA_DIR": str(folder), "PYTHONPATH": ""}
    output = (folder.parent / "up.txt").open("w+")
    command = block("make up").split()
    up = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        filled = "The shop has the products of data/catalog.csv."
        eventually(lambda: filled in Path(output.name).read_text() or up.poll() is not None, within=150)
        assert up.poll() is None, Path(output.name).read_text()
        yield environment, f"http://127.0.0.1:{port}", Path(output.name)
    finally:
        os.killpg(up.pid, signal.SIGINT)
        up.wait(60)


def run(started, text):
    environment, url, _ = started
    script = text.replace(URL, url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_make_up_prints_the_address_and_the_administrator(started):
    output = started[2].read_text()
    assert started[1] in output
    assert "admin@mercato.example" in output and "password" in output
    page = requests.get(started[1], timeout=20)
    assert page.status_code == 200 and 'src="/media/' in page.text, "a shop with products and pictures"


def test_first_order_with_curl_is_confirmed(started):
    output = run(started, block("my first order"))
    assert '"status":"confirmed"' in output
    assert '"type": "order.confirmed"' in output


def test_operator_commands_work(started):
    output = run(started, block("mercato status"))
    assert "orders" in output


def test_make_demo_succeeds(started):
    output = run(started, block("make demo"))
    assert "201 confirmed" in output and "No platform runs here" not in output and "✗" not in output


def test_make_test_runs_stages_that_ci_runs():
    assert block("make test").strip() == "make test"
    assert re.search(r"^test: .*\n\t@\S+ tests/run.py test$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "tests/run.py ci" in (ROOT / ".ci" / "run").read_text()
    assert stages_of("test") <= stages_of("ci")


def test_every_folder_of_the_layout_exists():
    layout = README.split("## Repository layout")[1].split("```")[1]
    parent = ""
    for line in layout.strip().splitlines():
        name = line.split()[0]
        if not name.endswith("/") or "<" in name:
            continue
        parent = parent if line.startswith(" ") else name
        path = ROOT / parent / name if line.startswith(" ") else ROOT / name
        assert path.is_dir(), line
