"""The platform that runs on this machine, as other commands see it."""

import os
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from chassis import clock
from chassis.settings import Settings, settings
from mercato.local.folder import Folder, check_format
from mercato.local.pids import kill_group, start_time
from mercato.local.ports import HOST

ENGINES = (
    "MONGODB_URI",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD",
)
"""The settings that say on which engines documents and events are."""
PLACE = (*ENGINES, "PREFIX", "INSTALLATION")
"""These, and the settings that name the owner of the data there; `run.json` keeps those that the launcher had."""

_ORPHANS_S = 2.0  # for processes whose launcher was killed to end by themselves
_POLL_S = 0.05


def find_run(data_dir: Path) -> dict[str, Any] | None:
    """Return `run.json` of the platform that runs in this folder, or None if none does.

    Raises: SystemExit with one line if the folder holds data of another version.
    """
    check_format(data_dir)
    path = data_dir / "run.json"
    run: dict[str, Any] | None = orjson.loads(path.read_bytes()) if path.exists() else None
    return run if run and is_running(run) else None


def is_running(process: dict[str, Any]) -> bool:
    """Return whether the process of this entry, or the launcher of this `run.json`, still runs."""
    return bool(process["started"]) and start_time(process["pid"]) == process["started"]


def platform_settings(own: Settings) -> Settings:
    """Return these settings, completed with the addresses and the secret of the platform that runs in DATA_DIR.

    In a cluster the environment has both: its secret is given, and DNS finds the services.
    Raises: SystemExit with one line if neither names a platform.
    """
    if own.addresses:
        return own
    run = find_run(own.data_dir)
    if run is None:
        if own.platform_secret.get_secret_value():
            return own
        raise SystemExit(f"mercato: nothing runs in {own.data_dir}: start it with `mercato up`, or set DATA_DIR")
    webs = {each["name"]: f"{HOST}:{each['port']}" for each in run["processes"] if each["kind"] == "web"}
    if own.platform_secret.get_secret_value():
        return own.model_copy(update={"addresses": webs})
    secrets = {name.lower(): SecretStr(value) for name, value in Folder(own.data_dir).secrets().items()}
    return own.model_copy(update={"addresses": webs, **secrets})


def store_settings() -> Settings:
    """Return this process's settings, with the engines of the platform that runs in DATA_DIR if they name none."""
    own = settings()
    run = None if any(os.environ.get(name) for name in ENGINES) else find_run(own.data_dir)
    return Settings.from_environment(os.environ | run["engines"]) if run else own


def end_orphans(folder: Folder) -> None:
    """Wait for the processes that a killed launcher left behind, and kill those that do not end soon.

    The end of their lifeline has already sent them SIGTERM.
    """
    run: dict[str, Any] = folder.read("run.json") or {"processes": []}
    deadline = clock.monotonic() + _ORPHANS_S
    for process in run["processes"]:
        while is_running(process):
            if clock.monotonic() > deadline:
                kill_group(process["pid"])
            clock.sleep(_POLL_S)
