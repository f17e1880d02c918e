"""Use cases of accounts: create, change and erase an account, sign in and renew a session."""

from collections.abc import Callable, Mapping
from typing import Any

from chassis import clock
from chassis.errors import IfMatch, require_version
from chassis.events import outbox
from chassis.store import Doc, Duplicate, Filter, Update, merge_updates
from services.notifications.messages import AccountMail
from services.users import (
    access,
    account_mails,
    addresses,
    credentials,
    domain,
    keys,
    passwords,
    recovery,
    repository,
    second_factor,
    security_events,
    sessions,
)
from services.users.messages import (
    BuyerLocked,
    BuyerUnknown,
    BuyerUnverified,
    CheckBuyer,
    GetBuyer,
    StopAdvertising,
    UserCreated,
    UserDeleted,
    UserUpdated,
)
from services.users.security_events import SecurityEvent
from services.users.settings import settings

ForgetRequests = Callable[[str], None]
"""Deletes the idempotency records of the requests that a user made, or that were about the user."""


def create(
    id: str,
    email: str,
    name: str,
    password: str,
    age: int | None = None,
    role: str = "customer",
    language: str = domain.LANGUAGES[0],
) -> Doc:
    """Create an account and return it, or return the account that has this id already.

    Raises InvalidInput, EmailTaken.
    """
    address = addresses.normalize_email(email)
    passwords.require_acceptable(password, email, address)
    repository.renew_keys(address)
    verified, now = role == "admin" or not settings().confirms_addresses, clock.timestamp()
    mails = {} if verified else account_mails.intent({}, 0, (AccountMail.VERIFICATION, address))
    account = {
        "_id": id,
        "email": address,
        "verified": verified,
        **mails,
        "emailKey": addresses.email_key(address),
        "name": name,
        "age": age,
        "language": language,
        "marketing": False,
        "password": passwords.hash_password(password),
        "role": role,
        "credentialsVersion": 0,
        "locked": False,
        "erased": False,
        "erasurePending": False,
        "version": 1,
        "dedupKey": "",
        "createdAt": now,
        "updatedAt": now,
    }
    account |= outbox.new_outbox(id, UserCreated(user_id=id, **domain.profile(account)))
    try:
        repository.accounts.insert(account)
    except Duplicate:
        existing = repository.accounts.get(id)
        if existing is None:
            raise domain.EmailTaken from None
        return existing
    return account


def change(
    actor: str,
    id: str,
    fields: Mapping[str, Any],
    current_password: str,
    if_match: IfMatch,
    dedup_key: str,
    count_change: credentials.CountChange = lambda _: None,
) -> Doc:
    """Change any of name, email, age, language, marketing and password, once for each `dedup_key`.

    A new e-mail address or password needs the current password of the `actor`, and ends all sessions of the account.

    Raises NotFound, VersionConflict, InvalidInput, EmailTaken, ReauthenticationRequired, and what `count_change`
    raises.
    """
    fields = dict(fields)
    asked = fields.pop("email", "")
    new_email = addresses.normalize_email(asked) if asked else ""
    new_password = fields.pop("password", "")
    new_hash = ""
    while True:
        account = repository.get(id)
        if account["dedupKey"] == dedup_key:
            return account
        require_version(if_match, account["version"])
        new_fields = {**fields, "dedupKey": dedup_key}
        if new_email or new_password:
            credentials.require_reauthentication(actor, account, current_password, count_change)
        if new_password:
            passwords.require_acceptable(new_password, account["email"], asked or account["email"])
            new_hash = new_hash or passwords.hash_password(new_password)
            new_fields["password"] = new_hash
        if new_email:
            version = credentials.version_of(account) + (1 if new_password else 0)
            new_fields |= recovery.new_address(account, new_email, version)
        changed_credentials = sorted(new_fields.keys() & {"email", "password"})
        make_update = credentials.credentials_update if changed_credentials else _profile_update
        update, guard = make_update(account, new_fields)
        try:
            changed = repository.accounts.update(id, update, when=guard)
        except Duplicate:
            raise domain.EmailTaken from None
        if changed is not None:
            _record_change(actor, id, *changed_credentials)
            if changed_credentials:
                sessions.delete_superseded(id, credentials.version_of(changed))
            return changed


def stop_advertising(command: StopAdvertising) -> None:
    """Record that a user wants no more mails that advertise; may be repeated."""
    while (account := repository.find(command.user_id)) and account.get("marketing"):
        update, guard = _profile_update(account, {"marketing": False})
        if repository.accounts.update(command.user_id, update, when=guard):
            return


def _profile_update(account: Doc, fields: Mapping[str, Any]) -> tuple[Update, Filter]:
    """Return the update that sets fields which are not credentials, and its guard."""
    event = UserUpdated(user_id=account["_id"], **domain.profile({**account, **fields}))
    publish, guard = outbox.append_event(account, event)
    update = {"$set": {**fields, "updatedAt": clock.timestamp()}, "$inc": {"version": 1}}
    return merge_updates(update, publish), {**guard, "version": account["version"]}


def _record_change(actor: str, id: str, *changed_credentials: str) -> None:
    other = "" if actor == id else actor
    if other:
        security_events.record(SecurityEvent.ADMIN_ACTED, id, actor=other, change="change")
    for name in changed_credentials:
        security_events.record(SecurityEvent.CREDENTIALS_CHANGED, id, actor=other, change=name)


def erase(
    actor: str,
    id: str,
    current_password: str,
    if_match: IfMatch,
    forget_requests: ForgetRequests,
    count_change: credentials.CountChange = lambda _: None,
) -> None:
    """Replace an account by a tombstone, end all its sessions, and publish UserDeleted.

    Raises NotFound, VersionConflict, ReauthenticationRequired, LastAdministrator, and what `count_change` raises.
    """
    while True:
        account = repository.get(id)
        require_version(if_match, account["version"])
        credentials.require_reauthentication(actor, account, current_password, count_change)
        repository.require_other_administrator(account)
        publish, guard = outbox.append_event(account, UserDeleted(user_id=id, until=keys.tokens_expire_at()))
        erase = {
            "$set": {**domain.tombstone(id), "credentialsVersion": credentials.version_of(account) + 1},
            "$unset": dict.fromkeys(domain.PERSONAL_FIELDS, True),
            "$inc": {"version": 1},
        }
        if repository.accounts.update(id, merge_updates(erase, publish), when={**guard, "version": account["version"]}):
            if actor != id:
                security_events.record(SecurityEvent.ADMIN_ACTED, id, actor=actor, change="erase")
            finish_erasure(id, forget_requests)
            return


def finish_erasure(id: str, forget_requests: ForgetRequests) -> None:
    """Delete the personal data of an erased account outside its document; may be repeated."""
    sessions.end_all(id)
    forget_requests(id)
    account_mails.forget(id)
    repository.accounts.update(id, {"$set": {"erasurePending": False}})


def sign_in(
    email: str, password: str, code: str, count_attempt: second_factor.CountAttempt
) -> tuple[Doc, sessions.Session]:
    """Return the account and a new session.

    Raises:
        WrongCredentials: the same error after the same time, whether the address or the password is wrong; also if the
            account is erased or its credentials change meanwhile.
        AccountLocked: the password is right, but the account is locked.
        SecondFactorRequired: the password is right, but not the code of the second factor.
    """
    account = repository.find_by_email(email)
    if not passwords.matches(password, account["password"] if account else None) or account is None:
        security_events.record(SecurityEvent.SIGN_IN_FAILED, account["_id"] if account else "", change="password")
        raise domain.WrongCredentials
    if credentials.is_locked(account):
        security_events.record(SecurityEvent.SIGN_IN_FAILED, account["_id"], change="locked")
        raise domain.AccountLocked
    second_factor.check(account, code, count_attempt)
    session = sessions.begin(account["_id"], credentials.version_of(account))
    if not access.is_current(session):  # whoever ended the sessions may not have seen this one
        sessions.discard(session)
        raise domain.WrongCredentials
    return account, session


def renew(token: str) -> tuple[Doc, sessions.Session]:
    """Replace a refresh token; return its account and its successor. Raises SignedOut."""
    try:
        session = sessions.rotate(token)
    except sessions.SignedOut:
        access.finish_ending(token.partition(".")[0])  # a token that was used twice has just ended its session
        raise
    account = repository.find(session.user)
    if account is None or session.credentials_version < credentials.version_of(account):
        raise sessions.SignedOut
    return account, session


def sign_out(token: str) -> None:
    """End the session of a refresh token; may be repeated. Raises SignedOut for a token of no session."""
    family = sessions.family_of(token)
    sessions.end(family)
    access.finish_ending(family)


def access_token(account: Doc, session: sessions.Session) -> str:
    """Issue an access token for a session of an account."""
    return keys.access_token(
        account["_id"], second_factor.effective_role(account), session.id, session.credentials_version
    )


def check_buyer(command: CheckBuyer) -> None:
    """Check that an account exists and may buy. Raises BuyerUnknown, BuyerLocked, BuyerUnverified."""
    account = repository.find(command.user_id)
    if account is None:
        raise BuyerUnknown
    if credentials.is_locked(account):
        raise BuyerLocked
    if settings().unverified_orders == "off" and not account_mails.is_verified(account):
        raise BuyerUnverified


def get_buyer(command: GetBuyer) -> GetBuyer.Reply:
    """Return whether the address of an account is confirmed."""
    account = repository.find(command.user_id)
    return GetBuyer.Reply(verified=account is not None and account_mails.is_verified(account))
