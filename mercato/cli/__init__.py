"""The `mercato` command. Each part is in a module here; the table says where, so that only what runs is imported."""

from importlib import import_module
from importlib.util import find_spec

import click

_COMMANDS = {
    "up": "platform",
    "down": "platform",
    "status": "platform",
    "demo": "platform",
    "web": "processes",
    "worker": "processes",
    "router": "processes",
    "dlq": "operate",
    "sagas": "operate",
    "outbox": "operate",
    "replay": "operate",
    "audit": "audit",
    "contracts": "contracts",
    "new": "new",
}


def _of_services() -> dict[str, click.Command]:
    """The commands that services bring: `commands` of each `services.<name>.commands`."""
    from mercato.catalog import catalog

    found: dict[str, click.Command] = {}
    for name in catalog():
        if find_spec(f"services.{name}") and find_spec(f"services.{name}.commands"):
            found |= import_module(f"services.{name}.commands").commands
    return found


class _Commands(click.Group):
    """A group that finds a command in its module only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *_of_services()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return _of_services().get(cmd_name)
        module = import_module(f"mercato.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Commands)
def main() -> None:
    """Mercato: run the platform and look after it."""
