"""What makes an account: its one e-mail address, its one name, its tombstone."""

import unicodedata
from typing import Any

from email_validator import EmailNotValidError, validate_email

from chassis.errors import DomainError, ErrorCategory, InvalidInput

PERSONAL = ("email", "name", "age", "password")


class EmailTaken(DomainError, title="Email already exists"):
    """Another account has this address, in one spelling or another."""

    def __init__(self) -> None:
        super().__init__("Sign in, or take another address.")


class WrongCredentials(DomainError, title="Unauthorized", category=ErrorCategory.UNAUTHENTICATED):
    """The same for an address that nobody has as for a wrong password."""

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is wrong.")


def normal_email(email: str) -> str:
    """The address in its normal form. Raises InvalidInput."""
    try:
        return validate_email(email, check_deliverability=False).normalized
    except EmailNotValidError:
        raise InvalidInput(("email", "must be an e-mail address")) from None


def email_key(email: str) -> str:
    """What two spellings of one address have in common: unique among accounts."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", email).casefold())


def tombstone(id: str) -> dict[str, Any]:
    """The fields that an erased account has left in the place of its personal data."""
    return {"emailKey": f"erased:{id}", "erased": True, "erasurePending": True}
