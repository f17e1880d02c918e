"""`mercato user`: creates accounts, the first administrator among them."""

import sys

import click

from chassis import clock
from chassis.errors import DomainError
from mercato.cli.services import attach_store
from services.users.keys_cli import keys


@click.group()
def user() -> None:
    """Manage accounts."""


@user.command()
@click.option("--email", required=True)
@click.option("--name", default="Administrator")
@click.option("--role", type=click.Choice(["customer", "admin"]), default="customer")
@click.option("--if-absent", is_flag=True, help="Do nothing if an account has this address.")
def create(email: str, name: str, role: str, if_absent: bool) -> None:
    """Create an account. The password is read from standard input."""
    from services.users import addresses, application, repository
    from services.users.service import service

    attach_store(service)
    if if_absent and repository.find_by_email(addresses.normalize_email(email)):
        return
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not 8 <= len(password) <= 128:
        raise click.ClickException("the password must have 8 to 128 characters")
    try:
        account = application.create(clock.new_id(), email, name, password, role=role)
    except DomainError as error:
        raise click.ClickException(str(error)) from None
    click.echo(account["_id"])


commands = {"user": user, "keys": keys}
