"""Accounts: made, changed, erased; signed in and out."""

from typing import Any

from chassis import clock
from chassis.errors import DomainError, NotFound
from chassis.events import outbox
from chassis.store import Collection, Doc, Duplicate, Index, merge_updates
from chassis.web import idempotency
from chassis.web.api import require_version
from services.users import domain, keys, passwords, sessions
from services.users.messages import CheckBuyer, UserCreated, UserDeleted, UserUpdated

accounts = Collection(
    "accounts",
    Index("emailKey", unique=True),
    Index("erased"),
    Index("leftovers", partial={"leftovers": True}),
    outbox.PENDING,
)


def create(id: str, email: str, name: str, password: str, age: int | None = None, role: str = "customer") -> Doc:
    """Make an account. Raises InvalidInput, and DomainError `email_taken`; made before under this id, it is returned."""
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
        "leftovers": False,
        "version": 1,
        "mark": "",
        "createdAt": now,
        "updatedAt": now,
        **outbox.new_outbox(id, UserCreated(user_id=id, email=address, name=name)),
    }
    try:
        accounts.insert(account)
    except Duplicate:
        made = accounts.get(id)
        if made is None:
            raise domain.EmailTaken from None
        return made
    return account


def get(id: str) -> Doc:
    """An account that is not erased. Raises NotFound."""
    account = accounts.get(id)
    if account is None or account["erased"]:
        raise NotFound("user")
    return account


def by_email(email: str) -> Doc | None:
    """The account of an address, or None."""
    found = accounts.find({"emailKey": domain.email_key(email)}, limit=1)
    return found[0] if found else None


def change(id: str, fields: dict[str, Any], if_match: int | None, mark: str) -> Doc:
    """Change some of name, email, age, password. Raises NotFound, VersionConflict, InvalidInput, DomainError `email_taken`."""
    fields = dict(fields)
    if "email" in fields:
        fields["email"] = domain.normal_email(fields["email"])
        fields["emailKey"] = domain.email_key(fields["email"])
    if "password" in fields:
        fields["password"] = passwords.hashed(fields["password"])
    while True:
        account = get(id)
        if account["mark"] == mark:
            return account
        require_version(if_match, account["version"])
        new = {**account, **fields}
        says, guard = outbox.append_event(account, UserUpdated(user_id=id, email=new["email"], name=new["name"]))
        update = {"$set": {**fields, "mark": mark, "updatedAt": clock.timestamp()}, "$inc": {"version": 1}}
        try:
            changed = accounts.update(id, merge_updates(update, says), when={**guard, "version": account["version"]})
        except Duplicate:
            raise domain.EmailTaken from None
        if changed is not None:
            if "password" in fields:
                sessions.end_all(id)
            return changed


def erase(id: str, if_match: int | None) -> None:
    """Erase an account: what is left is a tombstone. Raises NotFound, VersionConflict."""
    while True:
        account = get(id)
        require_version(if_match, account["version"])
        says, guard = outbox.append_event(account, UserDeleted(user_id=id))
        gone = {"$set": domain.tombstone(id), "$unset": dict.fromkeys(domain.PERSONAL, True), "$inc": {"version": 1}}
        if accounts.update(id, merge_updates(gone, says), when={**guard, "version": account["version"]}):
            _clear(id)
            return


def clear_leftovers() -> None:
    """Finish what a crash left of an erasure."""
    for account in accounts.find({"leftovers": True}):
        _clear(account["_id"])


def _clear(id: str) -> None:
    sessions.end_all(id)
    idempotency.forget(id)
    accounts.update(id, {"$set": {"leftovers": False}})


def sign_in(email: str, password: str) -> tuple[Doc, sessions.Session]:
    """The account and a new session. Raises WrongCredentials, the same whatever was wrong and after the same time."""
    account = by_email(email)
    if not passwords.matches(password, account["password"] if account else None) or account is None:
        raise domain.WrongCredentials
    return account, sessions.begin(account["_id"])


def renew(token: str) -> tuple[Doc, sessions.Session]:
    """The account and the successor of a refresh token. Raises DomainError `signed_out`."""
    session = sessions.rotate(token)
    account = accounts.get(session.user)
    if account is None or account["erased"]:
        raise sessions.SignedOut
    return account, session


def access_token(account: Doc) -> str:
    return keys.access_token(account["_id"], account["role"])


def check_buyer(command: CheckBuyer) -> None:
    account = accounts.get(command.user_id)
    if account is None or account["erased"]:
        raise DomainError("buyer_unknown", "Buyer unknown", "This account does not exist any more.")
