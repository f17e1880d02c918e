"""Use cases of accounts: create, change and erase an account, sign in and renew a session."""

from collections.abc import Callable
from typing import Any

from chassis import clock
from chassis.errors import require_version
from chassis.events import outbox
from chassis.store import Doc, Duplicate, merge_updates
from services.users import domain, keys, passwords, repository, sessions
from services.users.messages import BuyerUnknown, CheckBuyer, UserCreated, UserDeleted, UserUpdated

ForgetRequests = Callable[[str], None]
"""Deletes the idempotency records of the requests that a user made, or that were about the user."""


def create(id: str, email: str, name: str, password: str, age: int | None = None, role: str = "customer") -> Doc:
    """Create an account and return it, or return the account that has this id already.

    Raises InvalidInput, EmailTaken.
    """
    address = domain.normalize_email(email)
    now = clock.timestamp()
    account = {
        "_id": id,
        "email": address,
        "emailKey": domain.email_key(address),
        "name": name,
        "age": age,
        "password": passwords.hash_password(password),
        "role": role,
        "erased": False,
        "erasurePending": False,
        "version": 1,
        "dedupKey": "",
        "createdAt": now,
        "updatedAt": now,
        **outbox.new_outbox(id, UserCreated(user_id=id, email=address, name=name)),
    }
    try:
        repository.accounts.insert(account)
    except Duplicate:
        existing = repository.accounts.get(id)
        if existing is None:
            raise domain.EmailTaken from None
        return existing
    return account


def change(id: str, fields: dict[str, Any], if_match: int | None, dedup_key: str) -> Doc:
    """Change any of name, email, age and password, once for each `dedup_key`; a new password ends all sessions.

    Raises NotFound, VersionConflict, InvalidInput, EmailTaken.
    """
    fields = dict(fields)
    if "email" in fields:
        fields["email"] = domain.normalize_email(fields["email"])
        fields["emailKey"] = domain.email_key(fields["email"])
    if "password" in fields:
        fields["password"] = passwords.hash_password(fields["password"])
    while True:
        account = repository.get(id)
        if account["dedupKey"] == dedup_key:
            return account
        require_version(if_match, account["version"])
        new = {**account, **fields}
        publish, guard = outbox.append_event(account, UserUpdated(user_id=id, email=new["email"], name=new["name"]))
        update = {"$set": {**fields, "dedupKey": dedup_key, "updatedAt": clock.timestamp()}, "$inc": {"version": 1}}
        try:
            changed = repository.accounts.update(
                id, merge_updates(update, publish), when={**guard, "version": account["version"]}
            )
        except Duplicate:
            raise domain.EmailTaken from None
        if changed is not None:
            if "password" in fields:
                sessions.end_all(id)
            return changed


def erase(id: str, if_match: int | None, forget_requests: ForgetRequests) -> None:
    """Replace an account by a tombstone, and publish UserDeleted. Raises NotFound, VersionConflict."""
    while True:
        account = repository.get(id)
        require_version(if_match, account["version"])
        publish, guard = outbox.append_event(account, UserDeleted(user_id=id))
        erase = {
            "$set": domain.tombstone(id),
            "$unset": dict.fromkeys(domain.PERSONAL_FIELDS, True),
            "$inc": {"version": 1},
        }
        if repository.accounts.update(id, merge_updates(erase, publish), when={**guard, "version": account["version"]}):
            finish_erasure(id, forget_requests)
            return


def finish_erasure(id: str, forget_requests: ForgetRequests) -> None:
    """Delete the personal data of an erased account outside its document; may be repeated."""
    sessions.end_all(id)
    forget_requests(id)
    repository.accounts.update(id, {"$set": {"erasurePending": False}})


def sign_in(email: str, password: str) -> tuple[Doc, sessions.Session]:
    """Return the account and a new session.

    Raises WrongCredentials: the same error after the same time, whether the address or the password is wrong.
    """
    account = repository.find_by_email(email)
    if not passwords.matches(password, account["password"] if account else None) or account is None:
        raise domain.WrongCredentials
    return account, sessions.begin(account["_id"])


def renew(token: str) -> tuple[Doc, sessions.Session]:
    """Replace a refresh token; return its account and its successor. Raises SignedOut."""
    session = sessions.rotate(token)
    account = repository.accounts.get(session.user)
    if account is None or account["erased"]:
        raise sessions.SignedOut
    return account, session


def access_token(account: Doc) -> str:
    """Issue an access token for an account."""
    return keys.access_token(account["_id"], account["role"])


def check_buyer(command: CheckBuyer) -> None:
    """Check that an account exists and may buy. Raises BuyerUnknown."""
    account = repository.accounts.get(command.user_id)
    if account is None or account["erased"]:
        raise BuyerUnknown
