"""Settings of the launcher, and how to find those of each service."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import get_type_hints

from pydantic import Field, SecretStr

from chassis.settings import PLATFORM, Settings
from mercato.catalog import catalog


class LauncherSettings(Settings):
    """Settings of every service, and those of `mercato up`."""

    replicas: int = Field(1, ge=1, le=9)
    """Processes of each kind that `mercato up` starts for a service."""
    admin_email: str = f"admin@{PLATFORM}.example"
    """E-mail address of the first administrator."""
    admin_password: SecretStr = SecretStr("")
    """Password of the first administrator. Empty: `mercato up` makes one."""
    admin_token: SecretStr = SecretStr("")
    """Access token of an administrator for `mercato import`. Empty: the command signs in."""


@cache
def settings() -> LauncherSettings:
    """Return the settings of this process."""
    return LauncherSettings.from_environment()


def model_of(service: str) -> type[Settings]:
    """Return the settings model of a service: that of its settings.py, or the common one where it has none."""
    if not find_spec(f"services.{service}") or not find_spec(f"services.{service}.settings"):
        return Settings
    model: type[Settings] = get_type_hints(import_module(f"services.{service}.settings").settings)["return"]
    return model


def models() -> dict[str, type[Settings]]:
    """Return every settings model by its owner: "" (all services), each service with its own, "launcher"."""
    own = {name: model for name in catalog() if (model := model_of(name)) is not Settings}
    return {"": Settings} | own | {"launcher": LauncherSettings}


def check_all() -> None:
    """Raise SystemExit with one line if a setting of any service or of the launcher is wrong."""
    for model in models().values():
        model.from_environment()
