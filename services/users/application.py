"""Use cases of accounts: create, change and erase them, sign in and renew a session."""

from collections.abc import Callable
from typing import Any

from chassis import clock
from chassis.errors import require_version
from chassis.events import outbox
from chassis.store import Doc, Duplicate, merge_updates
from services.users import domain, keys, passwords, repository, sessions
from services.users.messages import BuyerUnknown, CheckBuyer, UserCreated, UserDeleted, UserUpdated

ForgetRequests = Callable[[str], None]
"""Deletes the records of the requests that a user made, or that were made about the user."""


def create(id: str, email: str, name: str, password: str, age: int | None = None, role: str = "customer") -> Doc:
    """Make an account. Raises InvalidInput, EmailTaken; made before under this id, it is returned."""
    address = domain.normal_email(email)
    now = clock.timestamp()
    account = {
        "_id": id,
        "email": address,
        "emailKey": domain.email_key(address),
        "name": name,
        "age": age,
        "password": passwords.hashed(password),
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
        made = repository.accounts.get(id)
        if made is None:
            raise domain.EmailTaken from None
        return made
    return account


def change(id: str, fields: dict[str, Any], if_match: int | None, dedup_key: str) -> Doc:
    """Change some of name, email, age, password. Raises NotFound, VersionConflict, InvalidInput, EmailTaken."""
    fields = dict(fields)
    if "email" in fields:
        fields["email"] = domain.normal_email(fields["email"])
        fields["emailKey"] = domain.email_key(fields["email"])
    if "password" in fields:
        fields["password"] = passwords.hashed(fields["password"])
    while True:
        account = repository.get(id)
        if account["dedupKey"] == dedup_key:
            return account
        require_version(if_match, account["version"])
        new = {**account, **fields}
        says, guard = outbox.append_event(account, UserUpdated(user_id=id, email=new["email"], name=new["name"]))
        update = {"$set": {**fields, "dedupKey": dedup_key, "updatedAt": clock.timestamp()}, "$inc": {"version": 1}}
        try:
            changed = repository.accounts.update(
                id, merge_updates(update, says), when={**guard, "version": account["version"]}
            )
        except Duplicate:
            raise domain.EmailTaken from None
        if changed is not None:
            if "password" in fields:
                sessions.end_all(id)
            return changed


def erase(id: str, if_match: int | None, forget_requests: ForgetRequests) -> None:
    """Erase an account and leave a tombstone. Raises NotFound, VersionConflict."""
    while True:
        account = repository.get(id)
        require_version(if_match, account["version"])
        says, guard = outbox.append_event(account, UserDeleted(user_id=id))
        gone = {"$set": domain.tombstone(id), "$unset": dict.fromkeys(domain.PERSONAL, True), "$inc": {"version": 1}}
        if repository.accounts.update(id, merge_updates(gone, says), when={**guard, "version": account["version"]}):
            finish_erasure(id, forget_requests)
            return


def finish_erasure(id: str, forget_requests: ForgetRequests) -> None:
    """Delete what the service keeps of an erased account outside its document; may be repeated."""
    sessions.end_all(id)
    forget_requests(id)
    repository.accounts.update(id, {"$set": {"erasurePending": False}})


def sign_in(email: str, password: str) -> tuple[Doc, sessions.Session]:
    """The account and a new session. Raises WrongCredentials, the same whatever was wrong and after the same time."""
    account = repository.find_by_email(email)
    if not passwords.matches(password, account["password"] if account else None) or account is None:
        raise domain.WrongCredentials
    return account, sessions.begin(account["_id"])


def renew(token: str) -> tuple[Doc, sessions.Session]:
    """The account and the successor of a refresh token. Raises SignedOut."""
    session = sessions.rotate(token)
    account = repository.accounts.get(session.user)
    if account is None or account["erased"]:
        raise sessions.SignedOut
    return account, session


def access_token(account: Doc) -> str:
    return keys.access_token(account["_id"], account["role"])


def check_buyer(command: CheckBuyer) -> None:
    account = repository.accounts.get(command.user_id)
    if account is None or account["erased"]:
        raise BuyerUnknown
