"""Mails about accounts, as intents: each is stored before it is sent, so that a crash loses none.

    account {mails: [{id, kind, email}], mailsDue: true}      in one write with the change that it is about
        │ job
        ▼
    account_mails {_id, kind, userId, email, due: true, secret, tokenHash}
        │ job: the command SendAccountMail, with the key `_id`
        ▼
    account_mails {_id, kind, userId, due: false, tokenHash}   until the token expires

A request of an anonymous client is stored as `account_mails {_id, kind, asked: "address", due: true}`. It does not look
up the account, so neither its duration nor its response shows whether one exists.

A token is "<id>.<secret>". The store holds the secret until the mail is sent, then only its hash.
"""

import hashlib
import hmac
from typing import Any

from chassis import calls, clock
from chassis.errors import DomainError, TransientError
from chassis.events.set_aside import SetAside
from chassis.observe.log import log
from chassis.store import Collection, Doc, Duplicate, Index
from services.notifications.messages import AccountMail, SendAccountMail
from services.users import credentials, domain, repository
from services.users.settings import settings

TOKEN_LIFE_S = 30 * 60.0
NOTICE_LIFE_S = 24 * 3600.0
"""Time for which a mail without a token is retried."""
RETRY_AFTER_S = 5.0

_PAGES = {
    AccountMail.VERIFICATION: "shop/verify",
    AccountMail.ADDRESS_CHANGE: "shop/verify",
    AccountMail.RESET: "shop/reset",
}
"""The page that a link opens; other mails have no link."""

account_mails = Collection(
    "account_mails",
    Index("userId"),
    Index("expiresAt"),
    Index("due", "retryAt", partial={"due": True}),
)

_intents, _mails = SetAside("collect_account_mails"), SetAside("send_account_mails")


def is_verified(account: Doc) -> bool:
    """Return whether the address of an account is confirmed; where no mail is sent, all are."""
    return not settings().confirms_addresses or bool(account.get("verified", True))


def intent(account: Doc, version: int, *mails: tuple[AccountMail, str]) -> dict[str, Any]:
    """Return the fields of an account that request mails, each (kind, address). Set them in the write of the change.

    A token that changes the address is valid as long as the credentials have this version.
    """
    new = [
        {"id": clock.new_id(), "kind": kind.value, "email": email, "credentialsVersion": version}
        for kind, email in mails
    ]
    return {"mails": [*account.get("mails", []), *new], "mailsDue": True}


def request(kind: AccountMail, asked: str) -> None:
    """Request a mail to the account with this address. It takes the same time whether there is one or not."""
    _insert(clock.new_id(), kind, asked=asked)


def issue(kind: AccountMail, account: Doc) -> str:
    """Return a new link for an account; nothing is mailed."""
    id, secret = clock.new_id(), clock.new_secret()
    _insert(id, kind, **_subject(account), tokenHash=_hash(secret), due=False)
    return _link(kind, id, secret)


def find(token: str, *kinds: AccountMail) -> Doc | None:
    """Return the mail that a token of one of these kinds belongs to, or None if the token is not valid."""
    id, _, secret = token.partition(".")
    found = account_mails.get(id)
    if found is None or found["kind"] not in kinds or found["expiresAt"] <= clock.timestamp():
        return None
    return found if hmac.compare_digest(found.get("tokenHash", ""), _hash(secret)) else None


def delete(id: str) -> None:
    """Delete a mail with its token."""
    account_mails.delete(id)


def forget(user: str) -> None:
    """Delete the mails and tokens of a user."""
    account_mails.delete_all({"userId": user})


def delete_expired() -> None:
    """Delete the expired mails and tokens."""
    while found := account_mails.find({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt"):
        for mail in found:
            if mail["due"]:
                log.warning("mail about an account not sent in time; given up", mailId=mail["_id"])
            account_mails.delete(mail["_id"])


def send_account_mails() -> None:
    """Send the due mails; one that is not accepted is retried until it expires."""
    _intents.work_through(repository.accounts, {"mailsDue": True}, _collect)
    due = {"due": True, "retryAt": {"$lte": clock.timestamp()}}
    _mails.work_through(account_mails, due, _process, sort="retryAt")


def _collect(account: Doc) -> None:
    """Turn the intents in an account into mails of their own."""
    for mail in account.get("mails", []):
        fields = {"email": mail["email"], "credentialsVersion": mail["credentialsVersion"]}
        _insert(mail["id"], AccountMail(mail["kind"]), userId=account["_id"], **fields)
    done = {"$set": {"mailsDue": False}, "$unset": {"mails": True}}
    repository.accounts.update(account["_id"], done, when={"version": account["version"]})


def _process(mail: Doc) -> None:
    user = mail["userId"]
    account = repository.find(user) if user else repository.find_by_email(mail["asked"])
    if account is None or not _is_wanted(mail["kind"], account):
        account_mails.delete(mail["_id"], when={"due": True})
        return
    with_token = _with_token(mail, account)
    if with_token and _is_accepted(with_token, domain.profile(account)["language"]):
        _clear(with_token)


def _is_wanted(kind: str, account: Doc) -> bool:
    if credentials.is_locked(account):
        return False
    return kind != AccountMail.VERIFICATION or not is_verified(account)


def _with_token(mail: Doc, account: Doc) -> Doc | None:
    """Return a due mail with its account and, if its kind has one, its token; None if another process was first."""
    fields = {} if mail["userId"] else _subject(account)
    if mail["kind"] in _PAGES and not mail["tokenHash"]:
        secret = clock.new_secret()
        fields |= {"secret": secret, "tokenHash": _hash(secret)}
    if not fields:
        return mail
    unchanged = {"due": True, "userId": mail["userId"], "tokenHash": mail["tokenHash"]}
    return account_mails.update(mail["_id"], {"$set": fields, "$unset": {"asked": True}}, when=unchanged)


def _is_accepted(mail: Doc, language: str) -> bool:
    """Send a mail to `notifications`. Return False if it must be retried."""
    id, kind, secret = mail["_id"], AccountMail(mail["kind"]), mail.get("secret", "")
    command = SendAccountMail(
        mail_id=id,
        user_id=mail["userId"],
        address=mail["email"],
        kind=kind,
        link=_link(kind, id, secret) if secret else "",
        language=language,
        expires_at=mail["expiresAt"],
    )
    try:
        calls.send(command, key=id)
    except TransientError as error:
        log.warning("mail about an account not sent; retrying", mailId=id, error=error)
        account_mails.update(id, {"$set": {"retryAt": clock.timestamp_in(RETRY_AFTER_S)}})
        return False
    except DomainError as error:
        log.warning("mail about an account not sent; given up", mailId=id, error=error)
    return True


def _clear(mail: Doc) -> None:
    """Delete what only the mail needed: the token and, unless it is to be confirmed, the address."""
    unneeded = {"secret": True} if mail["kind"] in _PAGES else {"email": True}
    account_mails.update(mail["_id"], {"$set": {"due": False}, "$unset": unneeded})


def _insert(id: str, kind: AccountMail, **fields: Any) -> None:
    life_s = TOKEN_LIFE_S if kind in _PAGES else NOTICE_LIFE_S
    mail = {
        "_id": id,
        "kind": kind.value,
        "userId": "",
        "tokenHash": "",
        "due": True,
        "retryAt": clock.timestamp(),
        "expiresAt": clock.timestamp_in(life_s),
        **fields,
    }
    try:
        account_mails.insert(mail)
    except Duplicate:
        pass  # an earlier run crashed before it cleared the intent


def _subject(account: Doc) -> Doc:
    version = credentials.version_of(account)
    return {"userId": account["_id"], "email": account["email"], "credentialsVersion": version}


def _link(kind: AccountMail, id: str, secret: str) -> str:
    return f"{settings().public_url.rstrip('/')}/{_PAGES[kind]}#{id}.{secret}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
