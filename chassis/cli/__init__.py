"""The `mercato` command. Each part is in a module here; the table says where, so that only what runs is imported."""

from importlib import import_module

import click

_COMMANDS = {
    "up": "platform",
    "down": "platform",
    "status": "platform",
    "web": "processes",
    "worker": "processes",
    "router": "processes",
}


class _Commands(click.Group):
    """A group that finds the function of a command, named as the command, in the command's module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"chassis.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Commands)
def main() -> None:
    """Mercato: run the platform and look after it."""
