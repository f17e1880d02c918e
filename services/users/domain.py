"""Rules of accounts: unique e-mail addresses, and the tombstone of an erased account."""

import unicodedata
from typing import Any

from email_validator import EmailNotValidError, validate_email

from chassis.errors import DomainError, ErrorCategory, InvalidInput

PERSONAL_FIELDS = ("email", "name", "age", "password")


class EmailTaken(DomainError, title="Email already exists"):
    """Another account has this address, in this or another spelling."""

    def __init__(self) -> None:
        super().__init__("Sign in, or use another address.")


class WrongCredentials(DomainError, title="Unauthorized", category=ErrorCategory.UNAUTHENTICATED):
    """The address is unknown or the password is wrong; the error does not say which."""

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is wrong.")


def normalize_email(email: str) -> str:
    """Return the normalized form of an e-mail address. Raises InvalidInput."""
    try:
        return validate_email(email, check_deliverability=False).normalized
    except EmailNotValidError:
        raise InvalidInput(("email", "must be an e-mail address")) from None


def email_key(email: str) -> str:
    """Return the key that all spellings of an e-mail address share; it is unique among accounts."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", email).casefold())


def tombstone(id: str) -> dict[str, Any]:
    """Return the fields that replace the personal data of an erased account."""
    return {"emailKey": f"erased:{id}", "erased": True, "erasurePending": True}
