"""`mercato keys`: replaces the key that signs access tokens."""

import click

from mercato.cli.services import attach_store


@click.group()
def keys() -> None:
    """Manage the keys that sign access tokens."""


@keys.command()
@click.option("--emergency", is_flag=True, help="Drop the present keys at once: all access tokens are refused.")
def rotate(emergency: bool) -> None:
    """Replace the signing key. Without --emergency no access token becomes invalid."""
    from services.users import keys
    from services.users.service import service

    attach_store(service)
    if emergency:
        keys.replace_all()
        click.echo(f"All former keys are dropped: their tokens are refused within {keys.REFUSED_WITHIN_S:.0f} s.")
        click.echo("Clients get 401 and refresh; sessions stay. To end sessions as well, see `mercato user sessions`.")
    else:
        click.echo(f"The next key is published. It signs from {keys.publish_next()} on, when every service has it.")
