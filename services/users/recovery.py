"""Use cases of mailed links: verify an address, change it, and set a new password.

Each token works once, because what it does makes it invalid: an address is verified once, and a token to change
address or password is bound to the version of the credentials, which it raises. So a crash before the token is deleted
does not make it work again, and any other change of the credentials ends it, too.
"""

from chassis.errors import DomainError, ErrorCategory, NotFound
from chassis.store import Doc, Duplicate
from services.notifications.messages import AccountMail
from services.users import account_mails, addresses, credentials, passwords, repository, security_events
from services.users.domain import EmailTaken
from services.users.security_events import SecurityEvent
from services.users.settings import settings


class LinkExpired(DomainError, category=ErrorCategory.GONE):
    """The token was used before, is older than 30 minutes, or was never valid."""

    def __init__(self) -> None:
        super().__init__("This link is not valid anymore; ask for a new one.")


def request_verification(email: str) -> None:
    """Mail a link that verifies the address, if an account with it is not verified."""
    account_mails.request(AccountMail.VERIFICATION, email)


def request_reset(email: str) -> None:
    """Mail a link to set a new password, if there is an account with this address."""
    account_mails.request(AccountMail.RESET, email)


def reset_link(account: Doc) -> str:
    """Return a link to set a new password, for an operator to hand over; nothing is mailed."""
    return account_mails.issue(AccountMail.RESET, account)


def new_address(account: Doc, email: str, version: int) -> Doc:
    """Return the fields to set when the owner of an account enters a new address.

    Where mail is sent, both addresses get one, and the new one takes effect once it is confirmed, provided that the
    credentials still have this version; else it takes effect at once.

    Raises EmailTaken.
    """
    if email == account["email"]:
        return {}
    if not settings().confirms_addresses:
        repository.renew_keys(email)
        return _address_fields(account, email)
    holder = repository.find_by_email(email)
    if holder and holder["_id"] != account["_id"]:
        raise EmailTaken
    notice = (AccountMail.ADDRESS_CHANGE_REQUESTED, account["email"])
    return account_mails.intent(account, version, (AccountMail.ADDRESS_CHANGE, email), notice)


def confirm_address(token: str) -> None:
    """Verify the address of an account, or change it to the one that the token was sent to.

    Raises LinkExpired, EmailTaken.
    """
    mail = account_mails.find(token, AccountMail.VERIFICATION, AccountMail.ADDRESS_CHANGE)
    if mail is None:
        raise LinkExpired
    if mail["kind"] == AccountMail.VERIFICATION:
        _verify(mail)
    else:
        _change_address(mail)
    account_mails.delete(mail["_id"])


def confirm_reset(token: str, password: str, count_change: credentials.CountChange = lambda _: None) -> Doc:
    """Set a new password and end all sessions; return the account.

    The address counts as verified: the link was sent to it.
    Raises LinkExpired, InvalidInput, and what `count_change` raises.
    """
    mail = account_mails.find(token, AccountMail.RESET)
    account = repository.find(mail["userId"]) if mail else None
    if mail is None or account is None:
        raise LinkExpired
    _require_unused(mail, account)
    passwords.require_acceptable(password, account["email"])
    count_change(account["_id"])
    new_hash = passwords.hash_password(password)

    def decide(account: Doc) -> Doc:
        _require_unused(mail, account)
        verified = {"verified": True} if account["email"] == mail["email"] else {}
        return {"password": new_hash, **verified}

    changed = _change(mail, "password reset", decide)
    account_mails.delete(mail["_id"])
    return changed


def _verify(mail: Doc) -> None:
    unverified = {"email": mail["email"], "verified": False, "erased": False}
    if not repository.accounts.update(mail["userId"], {"$set": {"verified": True}}, when=unverified):
        raise LinkExpired


def _change_address(mail: Doc) -> None:
    new = mail["email"]
    repository.renew_keys(new)

    def decide(account: Doc) -> Doc:
        _require_unused(mail, account)
        return _address_fields(account, new)

    try:
        _change(mail, "email", decide)
    except Duplicate:
        raise EmailTaken from None


def _address_fields(account: Doc, email: str) -> Doc:
    """Return the fields of an account whose address changes to this one; the former address gets a mail."""
    version = credentials.version_of(account) + 1
    notice = account_mails.intent(account, version, (AccountMail.ADDRESS_CHANGED, account["email"]))
    return {"email": email, "emailKey": addresses.email_key(email), "verified": True, **notice}


def _change(mail: Doc, what: str, decide: credentials.Decide) -> Doc:
    try:
        changed = credentials.change(mail["userId"], decide)
    except NotFound:
        raise LinkExpired from None
    security_events.record(SecurityEvent.CREDENTIALS_CHANGED, mail["userId"], change=what)
    return changed


def _require_unused(mail: Doc, account: Doc) -> None:
    """Raises LinkExpired if the credentials have changed since the token was made, or the account is locked."""
    if credentials.is_locked(account):
        raise LinkExpired
    if credentials.version_of(account) != mail["credentialsVersion"]:
        raise LinkExpired
