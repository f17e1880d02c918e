"""Every command explains itself, and prints JSON where a script may read it."""

from collections.abc import Iterator

import click
import pytest

from mercato.cli import main

READ_BY_SCRIPTS = {"audit", "first-admin", "list", "migrate", "outbox", "replay", "sessions", "show", "status"}


def leaves(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*words, name))
        yield " ".join((*words, name)), command


COMMANDS = dict(leaves(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_command_says_in_a_whole_sentence_what_it_does(name: str) -> None:
    summary = COMMANDS[name].get_short_help_str(limit=64)
    assert summary and not summary.endswith("..."), summary


@pytest.mark.parametrize("name", COMMANDS)
def test_option_says_what_it_is_for(name: str) -> None:
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option) and not each.hidden]
    assert not [each.name for each in options if not each.help]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.split()[-1] in READ_BY_SCRIPTS])
def test_what_a_script_may_read_is_also_printed_as_json(name: str) -> None:
    assert "--json" in [option for each in COMMANDS[name].params for option in each.opts]
