"""`mercato user`: an operator's commands for accounts, on the store of users; no administrator is needed."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from chassis import clock
from chassis.errors import DomainError
from chassis.operations import ids_with_prefix
from chassis.store import Doc, StoreUnavailable
from mercato.cli.ids import choose
from mercato.cli.output import age, as_json, cell, print_json, print_rows
from mercato.cli.services import attach_store
from services.users.keys_cli import keys

STORE_WAIT_S = 60.0
"""Time for which `first-admin` waits for a store that starts later."""
_PAUSE_S = 1.0

_ACCOUNTS = {
    "id": lambda row: row["id"],
    "email": lambda row: row["email"],
    "role": lambda row: row["role"],
    "created": lambda row: row["createdAt"][:10],
    "note": lambda row: cell("locked" if row["locked"] else "", "red"),
}
_SESSIONS = {
    "id": lambda row: row["id"],
    "age": lambda row: age(row["createdAt"]),
    "last used (ago)": lambda row: age(row["lastUsedAt"]),
    "expires": lambda row: row["expiresAt"][:10],
}


class Refused(click.ClickException):
    """The platform refuses the request; repeating the command does not help."""

    exit_code = 3


@click.group()
def user() -> None:
    """Manage accounts. USER is an id, a beginning of it that no other account has, or an e-mail address."""


@user.command("list")
@as_json
def list_users(as_json: bool) -> None:
    """List the accounts."""
    from services.users import repository

    _attach()
    print_rows(map(_row, repository.accounts.iterate({"erased": False})), as_json, "Accounts", _ACCOUNTS)


@user.command()
@click.argument("user")
@as_json
def show(user: str, as_json: bool) -> None:
    """Show one account as JSON, with what administrators did to it."""
    from services.users import second_factor

    account = _find(user)
    fields = {
        **_row(account),
        "name": account["name"],
        "secondFactor": second_factor.is_enabled(account),
        "sessions": len(_sessions(account)),
        "updatedAt": account["updatedAt"],
        "actions": account.get("actions", []),
    }
    print_json(fields)


@user.command()
@click.argument("user")
@as_json
def sessions(user: str, as_json: bool) -> None:
    """List the sessions of an account that have not ended."""
    rows = (
        {
            "id": family["_id"],
            "createdAt": family.get("createdAt", ""),
            "lastUsedAt": family["rotatedAt"],
            "expiresAt": family["expiresAt"],
        }
        for family in _sessions(_find(user))
    )
    print_rows(rows, as_json, "Sessions", _SESSIONS)


@user.command("end-sessions")
@click.argument("user")
def end_sessions(user: str) -> None:
    """End all sessions of an account."""
    from services.users import administration

    _act(user, administration.end_sessions, "all sessions ended")


@user.command()
@click.argument("user")
def promote(user: str) -> None:
    """Make an account an administrator."""
    from services.users import administration

    _act(user, lambda id, actor: administration.set_role(id, "admin", actor), "is an administrator")


@user.command()
@click.argument("user")
def demote(user: str) -> None:
    """Make an administrator a customer. The last administrator stays one."""
    from services.users import administration

    _act(user, lambda id, actor: administration.set_role(id, "customer", actor), "is a customer")


@user.command()
@click.argument("user")
def lock(user: str) -> None:
    """Forbid an account to sign in, and end its sessions. The last administrator cannot be locked."""
    from services.users import administration

    _act(user, administration.lock, "locked")


@user.command()
@click.argument("user")
def unlock(user: str) -> None:
    """Let a locked account sign in again."""
    from services.users import administration

    _act(user, administration.unlock, "unlocked")


@user.command()
@click.argument("user")
def reset(user: str) -> None:
    """Make an account set a new password, and end its sessions.

    Where the platform sends mail, the user gets a link; else the link is printed, to be handed over.
    """
    from services.users import administration

    account = _find(user)
    with _refusals():
        link = administration.reset(account["_id"], administration.OPERATOR)
    done = f"{account['email']} ({account['_id']}): the password is reset"
    click.echo(
        f"{done}; a link to set a new one works once, for 30 minutes:\n{link}" if link else f"{done}; a mail follows"
    )


@user.command("remove-second-factor")
@click.argument("user")
def remove_second_factor(user: str) -> None:
    """Remove a second factor that its owner has lost. First make sure that the owner asks for it."""
    from services.users import administration

    _act(user, administration.remove_second_factor, "has no second factor")


@user.command()
@click.option("--email", required=True, help="The address with which it signs in.")
@click.option("--name", default="Administrator", help="The name that others see.")
@click.option("--role", type=click.Choice(["customer", "admin"]), default="customer", help="What it may do.")
def create(email: str, name: str, role: str) -> None:
    """Create an account. The password is read from standard input."""
    from services.users import application, passwords

    _attach()
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    with _refusals():
        passwords.require_acceptable(password, email)
        account = application.create(clock.new_id(), email, name, password, role=role)
    click.echo(account["_id"])


@user.command("first-admin")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def first_admin(as_json: bool) -> None:
    """Create the first administrator, once in the life of a platform.

    Settings: ADMIN_EMAIL, ADMIN_PASSWORD. Waits a minute for the store. Exit code 3: refused, and why.
    """
    from mercato.settings import settings
    from services.users import administration

    email, password = settings().admin_email, settings().admin_password.get_secret_value()
    with _refusals({"email": "ADMIN_EMAIL", "password": "ADMIN_PASSWORD"}):
        first = _wait_for_store(lambda: administration.create_first(email, "Administrator", password))
    if as_json:
        print_json({"created": first.created, "email": first.email})
    elif first.created:
        click.echo(f"{first.email} is the first administrator")
    else:
        click.echo("the first administrator was made before; nothing was changed")


commands = {"user": user, "keys": keys}


def _attach() -> None:
    from services.users.service import service

    attach_store(service)


def _wait_for_store(work: Callable[[], Any]) -> Any:
    """Attach the store and do the work; repeat both while the store is not available."""
    deadline = clock.monotonic() + STORE_WAIT_S
    while True:
        try:
            _attach()
            return work()
        except (click.ClickException, StoreUnavailable):
            if clock.monotonic() > deadline:
                raise
            clock.sleep(_PAUSE_S)


def _find(user: str) -> Doc:
    from services.users import administration

    _attach()
    with _refusals():
        return administration.find(user if "@" in user else _id(user))


def _id(given: str) -> str:
    """Return the id that begins with this text, or the text itself if no account has one."""
    from services.users import repository

    ids = [id for id in ids_with_prefix(repository.accounts, given) if repository.find(id)]
    return choose(given, ((id, None) for id in ids), "")[0] if ids else given


def _sessions(account: Doc) -> list[Doc]:
    from services.users import access, sessions

    families = sessions.refresh_token_families.iterate({"userId": account["_id"], "ended": False})
    return access.find_live(list(families), account)


def _act(user: str, work: Callable[[str, str], Doc], outcome: str) -> None:
    """Do something to the account of a user, in the name of the operator."""
    from services.users import administration

    account = _find(user)
    with _refusals():
        work(account["_id"], administration.OPERATOR)
    click.echo(f"{account['email']} ({account['_id']}): {outcome}")


def _row(account: Doc) -> dict[str, Any]:
    return {
        "id": account["_id"],
        "email": account["email"],
        "role": account["role"],
        "locked": account.get("locked", False),
        "createdAt": account["createdAt"],
    }


@contextmanager
def _refusals(settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn domain errors into one line; `settings` names the setting that a field comes from."""
    try:
        yield
    except DomainError as error:
        wrong = (
            f"{(settings or {}).get(each['field'], each['field'])} {each['reason']}"
            for each in error.extra.get("errors", ())
        )
        raise Refused("; ".join(wrong) or f"{error.title}: {error.detail}") from None
