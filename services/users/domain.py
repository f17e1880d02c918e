"""Rules of accounts: unique e-mail addresses, and the tombstone of an erased account."""

from collections.abc import Mapping
from typing import Any

from chassis.errors import DomainError, ErrorCategory

PERSONAL_FIELDS = (
    *("email", "name", "age", "password", "secondFactor", "secondFactorOffer", "actions", "mails"),
    *("signInNetworks", "language", "marketing"),
)
LANGUAGES = ("en", "de")
"""Languages of mails; the first one is the default."""


def profile(account: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an account that UserCreated and UserUpdated carry.

    An account of release 0.2.0 has no language and no choice about mails that advertise: it gets the defaults.
    """
    return {
        "email": account["email"],
        "name": account["name"],
        "language": account.get("language", LANGUAGES[0]),
        "marketing": account.get("marketing", False),
    }


class EmailTaken(DomainError, title="Email already exists"):
    """Another account has this address, in this or another spelling."""

    def __init__(self) -> None:
        super().__init__("Sign in, or use another address.")


class LastAdministrator(DomainError):
    """Without this account there would be no administrator who can sign in."""

    def __init__(self) -> None:
        super().__init__("Make another account an administrator first.")


class WrongCredentials(DomainError, title="Unauthorized", category=ErrorCategory.UNAUTHENTICATED):
    """The address is unknown or the password is wrong; the error does not say which."""

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is wrong.")


class AccountLocked(DomainError, category=ErrorCategory.FORBIDDEN):
    """An administrator locked the account. Only a sign-in with the right password gets this error."""

    def __init__(self) -> None:
        super().__init__("This account is locked. Ask the shop why.")


class ResetOfLockedAccount(DomainError, title="Account locked"):
    """A locked account cannot use a link to set a new password."""

    def __init__(self) -> None:
        super().__init__("Unlock the account first, then reset its password.")


def tombstone(id: str) -> dict[str, Any]:
    """Return the fields that replace the personal data of an erased account."""
    return {"emailKey": f"erased:{id}", "erased": True, "erasurePending": True}
