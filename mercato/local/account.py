"""The administrator's account: created by the users service's own command, beside the launcher."""

import os
import subprocess
import sys
from pathlib import Path

from mercato.local.folder import shown
from mercato.local.pids import kill_group

_MAX_TRIES = 5


class AdminAccount:
    """`administrator` is {email, password}; `environment` is that of a process of users."""

    def __init__(self, administrator: dict[str, str], environment: dict[str, str], log: Path) -> None:
        self._administrator, self._environment, self._log = administrator, environment, log
        self._tries = 0
        self._process = self._start()

    def outcome(self) -> str | None:
        """Return None while the account is being created, "" once it exists, else an error message."""
        code = self._process.poll()
        if code is None:
            return None
        if code == 0:
            return ""
        if self._tries < _MAX_TRIES:
            self._process = self._start()
            return None
        return f"The administrator's account could not be created: see {shown(self._log)}"

    def stop(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
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
        assert process.stdin is not None  # noqa: S101  a pipe was requested
        try:
            process.stdin.write(self._administrator["password"].encode() + b"\n")
            process.stdin.close()
        except BrokenPipeError:  # it ended at once; its exit code counts
            pass
        return process
