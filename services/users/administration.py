"""Administration of accounts: the first administrator; roles, locks and sessions of any account.

The first administrator is made once. `first_administrator` records which account that is, before the account exists:

    {_id: "first", userId, at}

Its account, or the tombstone of its account, is never deleted. So an administrator who was renamed, demoted or erased
is not created again with a password that others may know. After a crash between record and account, the next call
creates the account.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from chassis import clock
from chassis.errors import DomainError, NotFound
from chassis.store import Collection, Doc, Duplicate
from services.notifications.messages import AccountMail
from services.users import (
    account_mails,
    addresses,
    application,
    credentials,
    domain,
    passwords,
    recovery,
    repository,
    second_factor,
)
from services.users.security_events import SecurityEvent, record
from services.users.settings import settings

OPERATOR = "operator"
"""The actor of commands on the command line."""
MAX_ACTIONS = 20
"""Number of the latest actions of administrators that an account keeps."""

Role = Literal["customer", "admin"]

first_administrator = Collection("first_administrator")
_ID = "first"


class AddressTaken(DomainError):
    """A customer has the address that the first administrator is to get."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"A customer has registered {address}: set ADMIN_EMAIL to another address, or, if the account is yours, "
            f"run `mercato user promote {address}`."
        )


@dataclass(frozen=True)
class FirstAdministrator:
    """The first administrator: whether this call created the account, and its address now, "" if it has lost it."""

    created: bool
    email: str


def check_first(email: str, password: str) -> str:
    """Check address and password of an administrator to be made; return the address. Raises InvalidInput."""
    address = addresses.normalize_email(email)
    passwords.require_acceptable(password, address)
    return address


def create_first(email: str, name: str, password: str) -> FirstAdministrator:
    """Create the first administrator, unless this platform had one before, with this or another address.

    Raises InvalidInput, AddressTaken.
    """
    first = first_administrator.get(_ID)
    account = repository.accounts.get(first["userId"]) if first else None
    if account is None:  # an administrator of release 0.2.0, or made by an operator, is the first, too
        account = next(iter(repository.accounts.find({"role": "admin"}, limit=1)), None)
        if account:
            _record_first(account["_id"])
    if account:
        has_right = account["role"] == "admin" and not account["erased"]
        return FirstAdministrator(created=False, email=account["email"] if has_right else "")
    address = check_first(email, password)
    id = first["userId"] if first else _record_first(clock.new_id())
    try:
        account = application.create(id, address, name, password, role="admin")
    except domain.EmailTaken:
        raise AddressTaken(address) from None
    return FirstAdministrator(created=True, email=account["email"])


def find(user: str) -> Doc:
    """Return the account with this id or e-mail address. Raises NotFound."""
    account = repository.find_by_email(user) if "@" in user else repository.find(user)
    if account is None:
        raise NotFound("user")
    return account


def set_role(id: str, role: Role, actor: str) -> Doc:
    """Set the role of an account, and end all its sessions. A demoted administrator loses the second factor.

    Raises NotFound, LastAdministrator.
    """

    def decide(account: Doc) -> Mapping[str, Any] | None:
        if account["role"] == role:
            return None
        if role == "admin":
            return {"role": role}
        repository.require_other_administrator(account)
        return {"role": role, **second_factor.REMOVED}

    return _change(id, actor, f"role {role}", decide)


def lock(id: str, actor: str) -> Doc:
    """Forbid an account to sign in, and end all its sessions. Raises NotFound, LastAdministrator."""

    def decide(account: Doc) -> Mapping[str, Any] | None:
        if credentials.is_locked(account):
            return None
        repository.require_other_administrator(account)
        return {"locked": True}

    return _change(id, actor, "locked", decide, SecurityEvent.ACCOUNT_LOCKED)


def unlock(id: str, actor: str) -> Doc:
    """Let a locked account sign in again. Raises NotFound."""

    def decide(account: Doc) -> Mapping[str, Any] | None:
        return {"locked": False} if credentials.is_locked(account) else None

    return _change(id, actor, "unlocked", decide, SecurityEvent.ACCOUNT_UNLOCKED)


def end_sessions(id: str, actor: str) -> Doc:
    """End all sessions of an account. Raises NotFound."""
    return _change(id, actor, "sessions ended", lambda account: {})


def reset(id: str, actor: str) -> str:
    """Invalidate the password and end all sessions, so that the user has to set a new password.

    Where the platform sends mail, the user gets a link; else return one to hand over, which works once, for 30 minutes.

    Raises NotFound, ResetOfLockedAccount.
    """
    useless = passwords.hash_password(clock.entropy(32).hex())
    by_mail = settings().confirms_addresses

    def decide(account: Doc) -> Mapping[str, Any] | None:
        if credentials.is_locked(account):
            raise domain.ResetOfLockedAccount
        mail = (AccountMail.RESET, account["email"])
        asked = account_mails.intent(account, credentials.version_of(account) + 1, mail) if by_mail else {}
        return {"password": useless, **asked}

    account = _change(id, actor, "password reset", decide, SecurityEvent.CREDENTIALS_CHANGED)
    return "" if by_mail else recovery.reset_link(account)


def remove_second_factor(id: str, actor: str) -> Doc:
    """Remove a second factor that its owner has lost, and end all sessions. Raises NotFound."""

    def decide(account: Doc) -> Mapping[str, Any] | None:
        return second_factor.REMOVED if second_factor.is_enabled(account) else None

    return _change(id, actor, "second factor removed", decide, SecurityEvent.CREDENTIALS_CHANGED)


def _change(id: str, actor: str, change: str, decide: credentials.Decide, *events: SecurityEvent) -> Doc:
    """Change the credentials of an account as `decide` says, and record who did it, if anything changed."""
    action = {"at": clock.timestamp(), "by": actor, "change": change}
    changed = False

    def decide_and_note(account: Doc) -> Mapping[str, Any] | None:
        nonlocal changed
        fields = decide(account)
        changed = fields is not None
        actions = [*account.get("actions", []), action][-MAX_ACTIONS:]
        return None if fields is None else {**fields, "actions": actions}

    account = credentials.change(id, decide_and_note)
    if changed:
        other = "" if actor == id else actor
        for event in (*events, *((SecurityEvent.ADMIN_ACTED,) if other else ())):
            record(event, id, actor=other, change=change)
    return account


def _record_first(id: str) -> str:
    """Record which account is the first administrator's, unless another process has just done so; return its id."""
    try:
        first_administrator.insert({"_id": _ID, "userId": id, "at": clock.timestamp()})
    except Duplicate:
        first = first_administrator.get(_ID)
        assert first is not None  # noqa: S101  a record never goes away
        return str(first["userId"])
    return id
