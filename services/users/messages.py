"""The events and commands of `users`. Only `user.created` and `user.updated` carry personal data."""

from typing import Annotated

from chassis.access import AccessQuery, Revocation
from chassis.errors import DomainError, ErrorCategory
from chassis.messages import ANY_SERVICE, Command, Event
from chassis.schema import Id, Schema, Timestamp, growing

_EVERY_VERSION = 2**62


Language = Annotated[str, growing("en", "de")]


class UserCreated(Event, type="user.created", key="user_id"):
    user_id: Id
    email: str
    name: str
    language: Language | None = None
    marketing: bool | None = None
    """Whether the user agreed to mails that advertise."""


class UserUpdated(Event, type="user.updated", key="user_id"):
    user_id: Id
    email: str
    name: str
    language: Language | None = None
    marketing: bool | None = None
    """Whether the user agreed to mails that advertise."""


class UserDeleted(Event, type="user.deleted", key="user_id", erases=True):
    user_id: Id
    until: Timestamp | None = None
    """The time at which all access tokens of the user have expired."""

    def revocation(self) -> Revocation:
        return Revocation(self.user_id, below_version=_EVERY_VERSION, until=self.until or "")


class SessionsRevoked(Event, type="user.sessions_revoked", key="user_id", unordered=True):
    """Access tokens of a user are invalid: those of one session, or all with a lower credentials version."""

    user_id: Id
    credentials_version: int
    """Tokens with a lower one are invalid, unless `session_id` names the only session that ended."""
    session_id: Id | None = None
    until: Timestamp
    """The time at which all tokens that this event is about have expired."""
    reason: Annotated[str, growing("refresh_reuse")] | None = None
    """Why, where the user must know: a refresh token was used twice, so somebody may have copied it."""

    def revocation(self) -> Revocation:
        session = self.session_id or ""
        return Revocation(self.user_id, 0 if session else self.credentials_version, session, self.until)


class BuyerUnknown(DomainError, category=ErrorCategory.FORBIDDEN):
    """The buyer has no account."""

    def __init__(self) -> None:
        super().__init__("This account does not exist anymore.")


class BuyerLocked(DomainError, category=ErrorCategory.FORBIDDEN):
    """An administrator locked the account of the buyer."""

    def __init__(self) -> None:
        super().__init__("This account is locked. Ask the shop why.")


class BuyerUnverified(DomainError, category=ErrorCategory.FORBIDDEN):
    """The buyer has not confirmed the e-mail address, and this shop requires it."""

    def __init__(self) -> None:
        super().__init__("Confirm your e-mail address first: open the link in the mail, or ask for a new one.")


class GetAccess(AccessQuery, callers=(ANY_SERVICE,), read_only=True):
    """Get the role that a user has now, as every service does where the right of an administrator decides."""


class GetBuyer(Command, callers=("orders",), read_only=True):
    """Get what bounds how much a user may order."""

    user_id: Id

    class Reply(Schema):
        """`verified`: the e-mail address is confirmed; false where there is no such account."""

        verified: bool


class StopAdvertising(Command, callers=("notifications",)):
    """Record that a user, if there is one, wants no more mails that advertise."""

    user_id: Id


class CheckBuyer(Command, callers=("orders",), read_only=True, errors=(BuyerUnknown, BuyerLocked, BuyerUnverified)):
    """Check that a user exists and may buy."""

    user_id: Id
