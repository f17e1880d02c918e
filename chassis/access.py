"""Access of users: what ends access tokens before they expire, and the question whether a user still has a role.

The service that issues the tokens declares both among its messages:

    class SessionsRevoked(Event, type="user.sessions_revoked", key="user_id"):
        def revocation(self) -> Revocation: ...

    class GetAccess(AccessQuery, callers=(ANY_SERVICE,), read_only=True): ...

Every other service declares that it uses them: `service.verifies("users", access=GetAccess)` and
`service.revokes(SessionsRevoked)`.
"""

from dataclasses import dataclass
from typing import Protocol

from chassis.messages import Command
from chassis.schema import Id, Schema


@dataclass(frozen=True)
class Revocation:
    """Access tokens that are invalid before they expire: those of one session, or all of a user below a version."""

    user: str
    below_version: int
    """Tokens with a lower credentials version are invalid; 0 if only those of `session` are."""
    session: str = ""
    until: str = ""
    """Time at which the last of these tokens has expired; "" if unknown."""


class RevokingEvent(Protocol):
    """An event that revokes access tokens."""

    def revocation(self) -> Revocation:
        """Return the tokens that the event revokes."""


class AccessQuery(Command, read_only=True):
    """Ask which role the bearer of an access token has now."""

    user_id: Id
    session_id: str
    credentials_version: int

    class Reply(Schema):
        role: str | None = None
        """The role; None if the token is refused: its session ended, or the account is locked or erased."""
