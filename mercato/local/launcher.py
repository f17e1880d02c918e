"""The launcher: starts the platform's processes on this machine, restarts those that die, ends them all together.

    launcher ──┬── router           127.0.0.1:PORT
               ├── <service> web    one gunicorn a service
               └── <service> worker

Every process holds the read end of a pipe (`lifeline`), so that none outlives the launcher however it ends.
"""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from chassis import clock
from chassis.settings import Settings
from mercato.catalog import catalog
from mercato.local.child import Child, born, kill_group, ready
from mercato.local.folder import Folder
from mercato.local.plan import plan
from mercato.local.ports import HOST, Ports
from mercato.local.running_platform import ENGINES
from mercato.local.screen import Screen

_TICK = 0.05
_PROBES = 0.1
_STARTING = 60.0
_LEFTOVERS = 2.0
_ACCOUNT_TRIES = 5


class Launcher:
    """One platform. Raises SystemExit with one line where it cannot be started."""

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self._settings, self._screen = settings, screen
        self._folder = open_folder(settings.data_dir)
        self._stops = 0
        self._ports = Ports()  # held as long as the launcher lives
        self._read_end, self._write_end = os.pipe()
        self._children: list[Child] = []
        self._begun = 0.0
        self._waiting: set[str] = set()
        self._whole = False
        self._account: _Account | None = None

    def run(self) -> None:
        """Start everything, look after it until SIGTERM or Ctrl-C, end everything."""
        if not self._folder.lock():
            raise SystemExit(f"mercato: {running(self._folder)}")
        end_leftovers(self._folder)
        self._children = self._plan()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            self._start()
            while not self._stops:
                self._turn()
        finally:
            self._end()

    def _plan(self) -> list[Child]:
        secret = self._settings.platform_secret.get_secret_value() or self._folder.secret()
        try:
            return plan(self._folder, self._settings.port, self._settings.replicas, self._ports, secret)
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise SystemExit(f"mercato: port {self._settings.port} {why}: set PORT to a free one") from None

    def _start(self) -> None:
        self._begun = clock.monotonic()
        for child in self._children:
            self._folder.rotate(child.log.stem)
            child.start(self._read_end)
        self._record()
        self._waiting = {child.title for child in self._children}
        administrator = self._folder.administrator(
            self._settings.admin_email, self._settings.admin_password.get_secret_value()
        )
        if "users" in catalog():
            self._account = _Account(administrator, self._children, self._folder)
        with self._screen.starting(self._waiting):
            while not (self._stops or self._whole) and clock.monotonic() - self._begun < _STARTING:
                self._turn()
        if self._stops:
            return
        for child in self._children:
            if child.title in self._waiting:
                self._screen.say(f"{child.title} is not ready after {_STARTING:.0f} s: see {shown(child.log)}")
        given = self._settings.admin_password.get_secret_value()
        if given and given != administrator["password"]:
            self._screen.say("ADMIN_PASSWORD is not used: the account has the password it was made with.")
        took = f"{clock.monotonic() - self._begun:.1f} s" if self._whole else ""
        self._screen.welcome(self._url, administrator, took)

    def _turn(self) -> None:
        self._tend()
        if not self._whole:
            self._look()
        clock.sleep(_TICK if self._whole else _PROBES)

    def _look(self) -> None:
        """Notice who has become ready; once all have, and the administrator's account is settled, it is whole."""
        for child in self._children:
            if child.title in self._waiting and child.alive() and ready(child.port, child.health_port):
                self._waiting.discard(child.title)
                self._screen.ready(child.title, clock.monotonic() - self._begun)
        account = self._account.made() if self._account else ""
        if account is not None and not self._waiting:
            if account:
                self._screen.say(account)
            self._whole = True
            self._record()

    def _tend(self) -> None:
        """Notice the dead, restart those whose pause is over."""
        for child in self._children:
            if how := child.died():
                self._screen.say(f"{child.title} died {how}: it is restarted; its log is {shown(child.log)}")
            if not self._stops and child.due():
                child.restarts += 1
                child.start(self._read_end)
                self._record()

    def _end(self) -> None:
        alive = [child for child in self._children if child.alive()]
        self._screen.say(f"Ending {len(alive)} processes (up to {self._settings.shutdown:.0f} s) ...")
        for child in alive:
            child.terminate()
        until = clock.monotonic() + self._settings.shutdown
        while any(child.alive() for child in alive) and clock.monotonic() < until and self._stops < 2:
            clock.sleep(_TICK)
        late = [child for child in alive if child.alive()]
        if late:
            self._screen.say(f"Killing {', '.join(child.title for child in late)}.")
        for child in self._children:
            child.kill()
        if self._account:
            self._account.stop()
        self._folder.write("run.json", None)
        self._screen.say("Ended.")

    def _record(self) -> None:
        self._folder.write(
            "run.json",
            {
                "url": self._url,
                "pid": os.getpid(),
                "started": born(os.getpid()),
                "ready": self._whole,
                "engines": {name: os.environ[name] for name in ENGINES if os.environ.get(name)},
                "processes": [child.record() for child in self._children],
            },
        )

    @property
    def _url(self) -> str:
        return f"http://{HOST}:{self._children[0].port}"

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1


class _Account:
    """The administrator's account, made by the users service's own command."""

    def __init__(self, administrator: dict[str, str], children: list[Child], folder: Folder) -> None:
        self._administrator, self._log = administrator, folder.log("administrator")
        self._environment = next(child.environment for child in children if child.name == "users")
        self._tries = 0
        self._process = self._begin()

    def made(self) -> str | None:
        """None while it is being made, "" when it is there, else a line for a person."""
        code = self._process.poll()
        if code is None:
            return None
        if code == 0:
            return ""
        if self._tries < _ACCOUNT_TRIES:
            self._process = self._begin()
            return None
        return f"The administrator's account could not be made: see {shown(self._log)}"

    def stop(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()

    def _begin(self) -> subprocess.Popen[bytes]:
        self._tries += 1
        command = [sys.executable, "-m", "mercato.cli", "user", "create", "--role", "admin"]
        command += ["--email", self._administrator["email"], "--if-absent"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  our own interpreter and command
                command,
                env=os.environ | self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert process.stdin is not None  # noqa: S101  it was asked for
        process.stdin.write(self._administrator["password"].encode() + b"\n")
        process.stdin.close()
        return process


def open_folder(path: Path) -> Folder:
    """The folder. Raises SystemExit with one line where it cannot be written."""
    try:
        return Folder(path)
    except OSError as error:
        raise SystemExit(f"mercato: cannot write to DATA_DIR={path}: {error.strerror}") from None


def running(folder: Folder) -> str:
    """What to say where a platform runs already."""
    run: dict[str, Any] = folder.read("run.json") or {}
    return f"already running in {shown(folder.path)} at {run.get('url', 'an address not yet known')}"


def end_leftovers(folder: Folder) -> None:
    """End what a launcher that was killed has left; its processes have been told by their lifeline already."""
    run: dict[str, Any] = folder.read("run.json") or {"processes": []}
    until = clock.monotonic() + _LEFTOVERS
    for process in run["processes"]:
        while process["started"] and born(process["pid"]) == process["started"]:
            if clock.monotonic() > until:
                kill_group(process["pid"])
            clock.sleep(_TICK)


def shown(path: Path) -> str:
    """The path as a person standing here would type it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
