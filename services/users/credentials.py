"""Credentials of an account: the write that changes them raises their version, and so ends every session.

    {..., "credentialsVersion": 3, "locked": False}

A session and an access token carry the version of their account at sign-in, and are refused once the account has a
higher one. An account, session or token of release 0.2.0 has none, which counts as 0.
"""

from collections.abc import Callable, Mapping
from typing import Any

from chassis import clock
from chassis.errors import DomainError, ErrorCategory
from chassis.events import outbox
from chassis.store import Doc, Filter, Update, merge_updates
from services.users import domain, keys, passwords, repository, sessions
from services.users.messages import SessionsRevoked, UserUpdated

CountChange = Callable[[str], object]
"""Counts a change of the credentials of an account against a rate limit; raises an error above it."""

Decide = Callable[[Doc], Mapping[str, Any] | None]
"""Returns the fields to set on an account, None to change nothing; it may be called several times."""


class ReauthenticationRequired(DomainError, category=ErrorCategory.FORBIDDEN):
    """The caller did not send the own current password, or sent a wrong one."""

    def __init__(self) -> None:
        super().__init__("Send your own current password as currentPassword.")


def version_of(account: Doc) -> int:
    """Return the credentials version of an account or of a session."""
    return int(account.get("credentialsVersion", 0))


def is_locked(account: Doc) -> bool:
    """Return whether an administrator locked the account."""
    return bool(account.get("locked", False))


def credentials_update(account: Doc, fields: Mapping[str, Any]) -> tuple[Update, Filter]:
    """Return the update that sets fields of an account and ends all sessions, and the guard of that update.

    The update appends UserUpdated if a field that it carries is among the fields, and SessionsRevoked.
    Every change of password, e-mail, role or lock is made by it.
    """
    version = version_of(account) + 1
    events: list[UserUpdated | SessionsRevoked] = []
    if fields.keys() & {"email", "name", "language", "marketing"}:
        events.append(UserUpdated(user_id=account["_id"], **domain.profile({**account, **fields})))
    events.append(SessionsRevoked(user_id=account["_id"], credentials_version=version, until=keys.tokens_expire_at()))
    publish, guard = outbox.append_event(account, *events)
    update = {
        "$set": {**fields, "credentialsVersion": version, "updatedAt": clock.timestamp()},
        "$inc": {"version": 1},
    }
    return merge_updates(update, publish), {**guard, "version": account["version"]}


def change(id: str, decide: Decide) -> Doc:
    """Change the credentials of an account as `decide` says, and end all its sessions; return the account.

    Raises:
        NotFound: there is no such account, or it is erased.
        Duplicate: another account has the `emailKey` that `decide` returned.
    """
    while True:
        account = repository.get(id)
        fields = decide(account)
        if fields is None:
            return account
        update, guard = credentials_update(account, fields)
        changed = repository.accounts.update(id, update, when=guard)
        if changed is not None:
            sessions.delete_superseded(id, version_of(changed))
            return changed


def require_reauthentication(
    caller_id: str, account: Doc, current_password: str, count_change: CountChange = lambda _: None
) -> None:
    """Check the caller's own password: that of `account`, or of the administrator who acts on `account`.

    Only a right password counts against the limit of changes: a stolen token cannot use up the owner's.
    Raises ReauthenticationRequired, and what `count_change` raises.
    """
    own = account if caller_id == account["_id"] else repository.accounts.get(caller_id)
    stored = own.get("password") if own else None
    if not current_password or not passwords.matches(current_password, stored):
        raise ReauthenticationRequired
    count_change(account["_id"])
