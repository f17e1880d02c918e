"""The `mercato` command. A table names the module of each subcommand, so that only what runs is imported."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

_COMMANDS = {
    "up": "platform",
    "down": "platform",
    "status": "status",
    "demo": "platform",
    "web": "processes",
    "worker": "processes",
    "router": "processes",
    "dlq": "operate",
    "sagas": "sagas",
    "outbox": "operate",
    "replay": "operate",
    "migrate": "migrate",
    "audit": "audit",
    "contracts": "contracts",
    "settings": "settings",
    "new": "new",
}


def _service_commands() -> dict[str, click.Command]:
    """Return the commands that services add: `commands` of each `services.<name>.cli`."""
    from mercato.catalog import catalog

    found: dict[str, click.Command] = {}
    for name in catalog():
        if find_spec(f"services.{name}") and find_spec(f"services.{name}.cli"):
            found |= import_module(f"services.{name}.cli").commands
    return found


class _Commands(click.Group):
    """A group that imports the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *_service_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return _service_commands().get(cmd_name)
        module = import_module(f"mercato.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an outage that it meets ends it with one line."""
        from chassis.errors import TransientError

        try:
            return super().invoke(ctx)
        except TransientError as error:
            raise click.ClickException(f"{error}; nothing else was done: run the command again later") from None


@click.group(cls=_Commands)
def main() -> None:
    """Mercato: run the platform and operate it."""


def run_command(arguments: list[str]) -> None:
    """Run `mercato <arguments>` in this process."""
    main(arguments, prog_name="mercato")
