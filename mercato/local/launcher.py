"""The launcher: starts the platform's processes on this machine, restarts those that crash, and ends them together.

    launcher ──┬── router           127.0.0.1:PORT
               ├── <service> web    one gunicorn per process
               └── <service> worker

Every process holds the read end of a pipe (`lifeline`), so that none outlives the launcher, however it ends.
"""

import errno
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from chassis import clock
from mercato.catalog import catalog
from mercato.local.account import AdminAccount, Outcome, checked_address
from mercato.local.child import Child
from mercato.local.first_catalog import FirstCatalog
from mercato.local.folder import Folder, open_folder, shown
from mercato.local.fork_server import Main
from mercato.local.pids import start_time
from mercato.local.plan import plan
from mercato.local.ports import HOST, Ports
from mercato.local.probes import is_ready
from mercato.local.reloading import Reloader, import_error
from mercato.local.running_platform import PLACE, end_orphans
from mercato.local.screen import Screen
from mercato.local.watch import POLL_S
from mercato.settings import LauncherSettings

_TICK_S = 0.05
_PROBE_EVERY_S = 0.1
_STARTUP_S = 60.0


class Launcher:
    """One platform. `main` is the command line that the processes run; `reload` restarts those whose code changes.

    Raises: SystemExit with one line if it cannot be started.
    """

    def __init__(
        self,
        settings: LauncherSettings,
        screen: Screen,
        main: Main,
        reload: bool = False,
        catalog_file: Path | None = None,
    ) -> None:
        self._settings, self._screen, self._main = settings, screen, main
        self._folder = open_folder(settings.data_dir)
        self._stops = 0
        self._ports = Ports()  # held as long as the launcher lives
        self._read_end, self._write_end = os.pipe()
        self._children: list[Child] = []
        self._started_at = 0.0
        self._not_ready: set[str] = set()
        self._is_complete = False
        self._account: AdminAccount | None = None
        log = self._folder.log_path("catalog")
        self._catalog = FirstCatalog(catalog_file, settings.data_dir, log) if catalog_file else None
        self._is_new = False
        self._reloader = Reloader() if reload else None
        self._next_poll = 0.0
        self._replaced = False

    def run(self) -> None:
        """Start everything, supervise it until SIGTERM or Ctrl-C, and end everything."""
        if not self._folder.lock():
            raise SystemExit(f"mercato: {already_running(self._folder)}")
        end_orphans(self._folder)
        self._children = self._plan()
        administrator = self._administrator()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            self._start(administrator)
            while not (self._stops or self._replaced):
                self._turn()
        finally:
            self._end()
        if self._replaced and not self._stops:
            os.environ["PORT"] = str(self._children[0].port)
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606  the same command, with the code as it is now

    def _plan(self) -> list[Child]:
        try:
            return plan(self._folder, self._settings.port, self._settings.replicas, self._ports)
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise SystemExit(f"mercato: port {self._settings.port} {why}: set PORT to a free one") from None

    def _administrator(self) -> dict[str, str]:
        """Return the address and password of the first administrator: those kept here, else those to make it with.

        Raises: SystemExit with one line if the settings give a wrong or a weak one.
        """
        email, password = self._settings.admin_email, self._settings.admin_password.get_secret_value()
        given, kept = self._settings.model_fields_set & {"admin_email", "admin_password"}, self._folder.administrator()
        self._is_new = kept is None
        if kept is None:
            kept = {"email": email, "password": password or clock.new_id()[10:].lower()}
            if "users" in catalog() and given:
                kept["email"] = checked_address(email, kept["password"])
            self._folder.write("admin.json", kept)
            return kept
        if "admin_email" in given and email.lower() != kept["email"].lower():
            self._screen.print_line(f"ADMIN_EMAIL is ignored: {kept['email']} was the first administrator's address.")
        if password and password != kept["password"]:
            self._screen.print_line("ADMIN_PASSWORD is ignored: the account keeps the password that it has.")
        return kept

    def _start(self, administrator: dict[str, str]) -> None:
        self._started_at = clock.monotonic()
        for child in self._children:
            self._folder.rotate_log(child.log.stem)
            self._start_process(child)
        self._write_run()
        self._not_ready = {child.title for child in self._children}
        if "users" in catalog():
            environment = next(child.environment for child in self._children if child.name == "users")
            self._account = AdminAccount(administrator, environment, self._folder.log_path("administrator"))
        with self._screen.starting(self._not_ready):
            while not (self._stops or self._is_complete) and clock.monotonic() - self._started_at < _STARTUP_S:
                self._turn()
        if self._stops:
            return
        for child in self._children:
            if child.title in self._not_ready:
                self._screen.print_line(f"{child.title} is not ready after {_STARTUP_S:.0f} s: see {shown(child.log)}")
        took = f"{clock.monotonic() - self._started_at:.1f} s" if self._is_complete else ""
        self._screen.print_welcome(self._url, self._folder.administrator(), took)
        if self._catalog and self._is_new and self._is_complete:
            self._catalog.start()
            self._screen.print_line(f"Filling the shop with {shown(self._catalog.file)} ...")

    def _start_process(self, child: Child) -> None:
        """Start a process with the secrets as they are now: they may have been replaced since the last one started."""
        if not self._settings.platform_secret.get_secret_value():
            child.environment |= self._folder.secrets()
        child.start(self._main, self._read_end)

    def _turn(self) -> None:
        self._restart_dead()
        if self._catalog and (outcome := self._catalog.outcome()):
            self._screen.print_line(outcome)
        if not self._is_complete:
            self._probe()
        elif self._reloader and clock.monotonic() >= self._next_poll:
            self._reload(self._reloader)
            self._next_poll = clock.monotonic() + POLL_S
        clock.sleep(_TICK_S if self._is_complete else _PROBE_EVERY_S)

    def _probe(self) -> None:
        """Record which processes are ready.

        The platform is complete once all are ready and the administrator's account is made.
        """
        for child in self._children:
            if child.title in self._not_ready and child.is_alive() and is_ready(child.port, child.health_port):
                self._not_ready.discard(child.title)
                self._screen.show_ready(child.title, clock.monotonic() - self._started_at)
        if self._account and (outcome := self._account.outcome()):
            self._account = None
            self._handle_outcome(outcome)
        if not (self._account or self._not_ready):
            self._is_complete = True
            self._write_run()

    def _handle_outcome(self, outcome: Outcome) -> None:
        """Keep the administrator's address and password only if the account has them. Raises SystemExit on failure."""
        kept = self._folder.administrator()
        if outcome.refused or (kept and not outcome.error and outcome.email.lower() != kept["email"].lower()):
            self._folder.forget_administrator()
        if outcome.error:
            raise SystemExit(f"mercato: {outcome.error}")

    def _restart_dead(self) -> None:
        for child in self._children:
            if how := child.reap():
                self._screen.print_line(f"{child.title} died {how}; restarting. Its log: {shown(child.log)}")
            if not self._stops and child.is_restart_due():
                child.restarts += 1
                self._start_process(child)
                self._write_run()

    def _reload(self, reloader: Reloader) -> None:
        changed, services = reloader.poll()
        if not changed:
            return
        what = ", ".join(sorted(shown(path) for path in changed)[:3]) + (" ..." if len(changed) > 3 else "")
        if services is None:
            if error := import_error():
                self._screen.print_line(f"{what} changed; not restarting: {error}")
                return
            self._screen.print_line(f"{what} changed; restarting everything")
            self._replaced = True
            return
        self._screen.print_line(f"{what} changed; restarting {', '.join(sorted(services))}")
        for child in self._children:
            if child.name in services:
                child.restart(self._settings.shutdown)

    def _end(self) -> None:
        alive = [child for child in self._children if child.is_alive()]
        self._screen.print_line(f"Stopping {len(alive)} processes (up to {self._settings.shutdown:.0f} s) ...")
        for child in alive:
            child.terminate()
        deadline = clock.monotonic() + self._settings.shutdown
        while any(child.is_alive() for child in alive) and clock.monotonic() < deadline and self._stops < 2:
            clock.sleep(_TICK_S)
        late = [child for child in alive if child.is_alive()]
        if late:
            self._screen.print_line(f"Killing {', '.join(child.title for child in late)}.")
        for child in self._children:
            child.kill()
        if self._account:
            self._account.stop()
        if self._catalog:
            self._catalog.stop()
        self._folder.write("run.json", None)
        self._screen.print_line("Stopped.")

    def _write_run(self) -> None:
        self._folder.write(
            "run.json",
            {
                "url": self._url,
                "pid": os.getpid(),
                "started": start_time(os.getpid()),
                "ready": self._is_complete,
                "engines": {name: os.environ[name] for name in PLACE if os.environ.get(name)},
                "processes": [child.to_json() for child in self._children],
            },
        )

    @property
    def _url(self) -> str:
        return f"http://{HOST}:{self._children[0].port}"

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1


def already_running(folder: Folder) -> str:
    """Return the message for a folder in which a platform runs."""
    run: dict[str, Any] = folder.read("run.json") or {}
    return f"already running in {shown(folder.path)} at {run.get('url', 'an address not yet known')}"
