"""CPU of an internal command, caller and server together: this code, and the latest recorded release."""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mercato.local.probes import is_ready
from tests.bench import command_peer
from tests.releases.installed import Release, install, latest_version
from tests.system.running import ROOT, eventually, free_port

MAX_RATIO = 0.6
CALLS = 300
PEER = str(Path(command_peer.__file__))


def run(short: bool) -> list[dict[str, Any]]:
    """Call in turn in both, and return the medians of the CPU and of its ratio. Raises: NotInstallable."""
    old, new = install(latest_version()), Release("now", ROOT, Path(sys.executable))
    turns: list[tuple[tuple[float, float], tuple[float, float]]] = []
    with ExitStack() as running:
        callers = [running.enter_context(_caller(release)) for release in (old, new)]
        for caller in callers:
            _cpu_ms(caller)  # connections, tokens and caches are made at first
        for _ in range(5 if short else 25):
            turns.append((_cpu_ms(callers[0]), _cpu_ms(callers[1])))
    ratio = statistics.median(sum(now) / sum(before) for before, now in turns)
    rows = [
        {"name": f"{part}, {name}", "value": statistics.median(turn[at][side] for turn in turns), "unit": "ms of CPU"}
        for at, name in enumerate((old.version, new.version))
        for side, part in enumerate(("caller", "server"))
    ]
    bar = {"bar": f"<= {MAX_RATIO}", "ok": ratio <= MAX_RATIO}
    return [*rows, {"name": f"command, now / {old.version}", "value": ratio, "unit": "", **bar}]


def _cpu_ms(caller: "subprocess.Popen[str]") -> tuple[float, float]:
    """Return the CPU of one call, in its caller and its server, in milliseconds."""
    assert caller.stdin and caller.stdout
    caller.stdin.write(f"{CALLS}\n")
    caller.stdin.flush()
    own_s, server_s = map(float, caller.stdout.readline().split())
    return own_s / CALLS * 1000, server_s / CALLS * 1000


@contextmanager
def _caller(release: Release) -> Iterator["subprocess.Popen[str]"]:
    """Run a caller of a server, both in this release."""
    port, health_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        Path(folder, "store").mkdir()
        environment = os.environ | release.environment
        environment |= {"DATA_DIR": folder, "HOST": "127.0.0.1", "PORT": str(port), "HEALTH_PORT": str(health_port)}
        environment |= {"PLATFORM_SECRET": command_peer.SECRET, "ALLOWED_CALLERS": "caller"}
        python = [str(release.python), "-P", PEER]
        log = running.enter_context(Path(folder, "log").open("ab"))
        server = subprocess.Popen([*python, "serve"], cwd=release.code, env=environment, stdout=log, stderr=log)
        running.callback(server.wait, 30)
        running.callback(server.terminate)
        eventually(lambda: is_ready(port, 0))
        caller = subprocess.Popen(
            [*python, "call", f"127.0.0.1:{port}"],
            cwd=release.code,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        running.enter_context(caller)
        yield caller
