"""Access of the callers of one service: their tokens, the revoked ones among them, and the right of administrators."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from chassis import calls
from chassis.access import AccessQuery
from chassis.calls.outcomes import NotServed
from chassis.web.auth import Caller, Identity
from chassis.web.problems import unauthenticated
from chassis.web.revocations import KnownRevocations

GetRole = Callable[[AccessQuery], AccessQuery.Reply]
"""Answers the question whether a token is still accepted, and which role its user has now."""


class TokenVerifier(Protocol):
    """Verifies access tokens offline."""

    def verify(self, token: str) -> Identity | None: ...


class Access:
    """Authenticates the callers of a service.

    The service that issues the tokens gives `get_role`, which reads the account at every request. Any other service
    looks up the known revocations, and sends `query` to the issuer where the right of an administrator decides.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        query: type[AccessQuery] = AccessQuery,
        get_role: GetRole | None = None,
        revocations: KnownRevocations | None = None,
    ) -> None:
        self._verifier, self._query = verifier, query
        self._get_role: GetRole = get_role or calls.send
        self._is_issuer, self._revocations = get_role is not None, revocations

    def identify(self, token: str, address: str) -> Caller:
        """Return the caller with this access token, without asking a store. Raises Problem 401, TransientError."""
        identity = self._verifier.verify(token) if token else None
        if identity is None or self._is_revoked(identity):
            raise unauthenticated()
        return Caller(
            identity.user, identity.role, address, identity.session, identity.credentials_version, self._current_role
        )

    def confirm(self, caller: Caller) -> Caller:
        """Return the caller with the current role, if this service knows it. Raises Problem 401, TransientError."""
        if not self._is_issuer:
            return caller
        role = self._current_role(caller)
        return replace(caller, role=role, current_role=lambda _: role)

    def _is_revoked(self, identity: Identity) -> bool:
        revoked = self._revocations
        return revoked is not None and revoked.is_revoked(identity.user, identity.credentials_version, identity.session)

    def _current_role(self, caller: Caller) -> str:
        query = self._query(
            user_id=caller.id, session_id=caller.session, credentials_version=caller.credentials_version
        )
        try:
            role: str | None = self._get_role(query).role
        except NotServed:  # every process of the issuer is of release 0.2.0, where the token alone decides
            return caller.role
        if role is None:
            raise unauthenticated()
        return role
