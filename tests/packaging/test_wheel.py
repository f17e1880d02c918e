"""The chassis is a library of its own: its wheel alone runs the services of its README, outside the repository."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

import chassis
from tests.system.running import ROOT, eventually

README = (ROOT / "chassis" / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
LOCKED = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty virtual environment into which the wheel was installed, and what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    copy = folder / "source"
    _run(["cp", "-r", str(ROOT / "chassis"), str(copy)])
    _run([*build, str(copy)])
    (wheel,) = folder.glob("*.whl")
    (folder / "constraints.txt").write_text("".join(f"{name}=={version}\n" for name, version in LOCKED.items()))
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])
    target = folder / "venv" / "bin" / "python"
    install = [
        "--python",
        str(target),
        "install",
        "--constraint",
        str(folder / "constraints.txt"),
        str(wheel),
        "pytest",
    ]
    _run([*pip, *install])
    return target


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the services of the README, and its test."""
    folder = tmp_path_factory.mktemp("services")
    greetings, visitors, test = BLOCKS
    for name, code in (("greetings", greetings), ("visitors", visitors)):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
        (folder / name / "service.py").write_text(code)
    (folder / "test_visitors.py").write_text(test)
    return folder


def test_the_complete_service_of_the_readme_has_at_most_40_lines_of_code() -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 40


def test_the_wheel_brings_the_chassis_alone(python: Path, services: Path) -> None:
    look = (
        "import chassis, importlib.util as u; print(chassis.__file__, u.find_spec('mercato'), u.find_spec('services'))"
    )
    file, *others = _run([str(python), "-c", look], cwd=services).split()
    assert Path(file).is_relative_to(python.parents[1])
    assert others == ["None", "None"]


def test_every_public_name_can_be_imported_from_the_wheel(python: Path, services: Path) -> None:
    code = f"from chassis import {', '.join(chassis.__all__)}"
    _run([str(python), "-c", code], cwd=services)


def test_the_test_of_the_readme_passes(python: Path, services: Path) -> None:
    assert "1 passed" in _run(
        [str(python), "-m", "pytest", "-c", os.devnull, "--rootdir", str(services), "-p", "no:cacheprovider"],
        cwd=services,
    )


def test_two_services_of_the_readme_store_publish_consume_and_call_each_other(python: Path, services: Path) -> None:
    ports = _free_ports(6)
    greet, visit = ports[:2]
    callee = {"ADDRESSES": f"greetings=127.0.0.1:{greet}"}
    runs = [
        ("web", "greetings", {"PORT": str(greet)}),
        ("worker", "greetings", {}),
        ("web", "visitors", {"PORT": str(visit), **callee}),
        ("worker", "visitors", callee),
    ]
    with ExitStack() as stack:
        for health, (kind, name, settings) in zip(ports[2:], runs, strict=True):
            stack.enter_context(_process(python, services, kind, name, {**settings, "HEALTH_PORT": str(health)}))
        for health in ports[2:]:
            eventually(lambda health=health: _get(f"http://127.0.0.1:{health}/readyz"), 60)
        for _ in range(2):
            key = {"Idempotency-Key": "once"}
            made = requests.post(
                f"http://127.0.0.1:{greet}/api/greetings", json={"guest": "Ada"}, headers=key, timeout=10
            )
            assert made.status_code == 201, made.text
        visitor = eventually(lambda: _get(f"http://127.0.0.1:{visit}/api/visitors/Ada"), 60)
        assert visitor == {"guest": "Ada", "greetings": 1}
        assert requests.get(f"http://127.0.0.1:{visit}/api/visitors/Bob", timeout=10).status_code == 404


def _run(command: list[str], cwd: Path = ROOT) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def _process(python: Path, folder: Path, kind: str, name: str, settings: dict[str, str]) -> Iterator[None]:
    environment = {"PATH": os.environ["PATH"], "PLATFORM_SECRET": "s" * 32, "DATA_DIR": str(folder / "data")}
    environment |= {"HOST": "127.0.0.1", **settings}
    with (folder / f"{name}-{kind}.log").open("wb") as output:
        command = [str(python), "-m", "chassis", kind, f"{name}.service:service"]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            yield
            assert process.poll() is None, (folder / f"{name}-{kind}.log").read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _get(url: str) -> Any:
    """The JSON body of a 200, else None."""
    try:
        answer = requests.get(url, timeout=10)
    except requests.ConnectionError:
        return None
    return json.loads(answer.content or b"true") if answer.status_code == 200 else None


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
