"""Processes on IPv6 and IPv4 at once, and those that cannot start."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.system.running import ROOT, eventually, free_port

pytestmark = pytest.mark.embedded
MERCATO = [sys.executable, "-m", "mercato.cli"]


def environment(folder: Path, **settings: str) -> dict[str, str]:
    return {**os.environ, "DATA_DIR": str(folder), "PLATFORM_SECRET": "s" * 32, "PYTHONPATH": str(ROOT), **settings}


@contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[None]:
    process = subprocess.Popen([*MERCATO, *arguments], env=environment(folder, **settings), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def status(url: str) -> int:
    try:
        return requests.get(url, timeout=10).status_code
    except requests.ConnectionError:
        return 0


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_web_health_and_router_listen_on_both_versions(tmp_path: Path) -> None:
    port, health, front = free_port(), free_port(), free_port()
    service = {"HOST": "::", "PORT": str(port), "HEALTH_PORT": str(health)}
    router = {"HOST": "::", "PORT": str(front), "HEALTH_PORT": str(free_port()), "ADDRESSES": f"products=[::1]:{port}"}
    with running(tmp_path, "web", "products", **service), running(tmp_path, "router", **router):
        for host in ("[::1]", "127.0.0.1"):
            eventually(lambda host=host: status(f"http://{host}:{health}/readyz") == 200)
            eventually(lambda host=host: status(f"http://{host}:{front}/api/products") == 200)
            assert status(f"http://{host}:{port}/api/products") == 200
        server = requests.get(f"http://[::1]:{health}/livez", timeout=10).headers["Server"]
        assert server == "mercato"


@pytest.mark.parametrize(
    ("arguments", "settings", "line"),
    [
        (["web", "bogus"], {}, "Error: there is no service 'bogus'"),
        (["worker", "no.such"], {}, "Error: there is no service 'no.such'"),
        (
            ["web", "products"],
            {"PORT": "70000"},
            "mercato: the setting PORT: Input should be less than or equal to 65535",
        ),
        (["router"], {"PORT": "70000"}, "mercato: the setting PORT: Input should be less than or equal to 65535"),
    ],
)
def test_process_that_cannot_start_says_why_in_one_line(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], line: str
) -> None:
    done = subprocess.run(
        [*MERCATO, *arguments], env=environment(tmp_path, **settings), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line + "\n")
