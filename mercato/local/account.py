"""The first administrator: checked before anything starts, then made by the users service's own command."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import orjson

from chassis.errors import InvalidInput
from mercato.local.folder import shown
from mercato.local.pids import kill_group

_REFUSED = 3  # exit code of `mercato user first-admin`


@dataclass(frozen=True)
class Outcome:
    """`error` is "" if there is a first administrator; `email` is its address now, "" if it has lost the right.

    `refused` says that no account was made, and that none will be with this address and password.
    """

    error: str = ""
    refused: bool = False
    email: str = ""


def checked_address(email: str, password: str) -> str:
    """Return the normalized address of an administrator to be made.

    Raises: SystemExit with one line if users would refuse the address or the password.
    """
    try:
        address: str = import_module("services.users.administration").check_first(email, password)
    except InvalidInput as error:
        wrong = error.extra["errors"][0]
        raise SystemExit(f"mercato: the setting ADMIN_{wrong['field'].upper()}: {wrong['reason']}") from None
    return address


class AdminAccount:
    """`administrator` is {email, password}; `environment` is that of a process of users."""

    def __init__(self, administrator: dict[str, str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        account = {"ADMIN_EMAIL": administrator["email"], "ADMIN_PASSWORD": administrator["password"]}
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and command
            [sys.executable, "-m", "mercato.cli", "user", "first-admin", "--json"],
            env=os.environ | environment | account,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def outcome(self) -> Outcome | None:
        """Return None while the account is being made."""
        if self._process.poll() is None:
            return None
        output, errors = self._process.communicate()
        self._log.write_bytes(errors)
        if self._process.returncode == 0:
            return Outcome(email=orjson.loads(output)["email"])
        if self._process.returncode == _REFUSED:
            return Outcome(errors.decode().removeprefix("Error: ").strip(), refused=True)
        return Outcome(f"the first administrator could not be made: see {shown(self._log)}")

    def stop(self) -> None:
        kill_group(self._process.pid)
        self._process.wait()
