"""The platform that runs on this machine, as a command sees it that works beside its processes."""

import os
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from chassis.settings import Settings, from_environment, settings
from mercato.local.child import born
from mercato.local.folder import Folder
from mercato.local.ports import HOST

ENGINES = (
    "MONGODB_URI",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD",
)
"""The settings that say where documents and events are; `run.json` keeps those that were given."""


def find_run(data_dir: Path) -> dict[str, Any] | None:
    """`run.json` of the platform that runs in this folder, None when none does."""
    path = data_dir / "run.json"
    run: dict[str, Any] | None = orjson.loads(path.read_bytes()) if path.exists() else None
    return run if run and born(run["pid"]) == run["started"] else None


def joined(own: Settings) -> Settings:
    """These settings, with the addresses and the secret of the platform that runs in DATA_DIR where they name none.

    In a cluster the environment has them: its secret is given, and DNS finds the services.
    Raises SystemExit with one line where neither is to be had.
    """
    if own.addresses:
        return own
    run = find_run(own.data_dir)
    if run is None:
        if own.platform_secret.get_secret_value():
            return own
        raise SystemExit(f"mercato: nothing runs in {own.data_dir}: start it with `mercato up`, or set DATA_DIR")
    webs = {each["name"]: f"{HOST}:{each['port']}" for each in run["processes"] if each["kind"] == "web"}
    secret = own.platform_secret.get_secret_value() or Folder(own.data_dir).secret()
    return own.model_copy(update={"addresses": webs, "platform_secret": SecretStr(secret)})


def settings_here() -> Settings:
    """This process's settings; where they name no engines, those of the platform that runs in DATA_DIR."""
    own = settings()
    run = None if any(os.environ.get(name) for name in ENGINES) else find_run(own.data_dir)
    return from_environment(os.environ | run["engines"]) if run else own
