"""`/api/auth`, and the sessions of the signed-in user."""

from functools import partial
from typing import Annotated, Literal

from pydantic import StringConstraints

from chassis.failure_limits import TooManyFailures
from chassis.schema import SINGLE_LINE, Id, RequestBody, Schema, Timestamp
from chassis.store import Doc
from chassis.web import limits
from chassis.web.api import ANYONE, SIGNED_IN, Api, Response
from chassis.web.auth import Caller
from chassis.web.paging import Page, PageQuery, find_page
from services.users import (
    access,
    addresses,
    application,
    domain,
    keys,
    repository,
    second_factor,
    sessions,
    sign_in_delays,
)
from services.users.api import AnyEmail, CurrentPassword
from services.users.second_factor_api import Code, limit_codes
from services.users.settings import settings

api = Api()

Token = Annotated[str, StringConstraints(max_length=200), SINGLE_LINE]


class Credentials(RequestBody):
    email: AnyEmail
    password: CurrentPassword
    code: Code = ""
    """A code of the second factor, or a recovery code, for an account that has one."""


class RefreshToken(RequestBody):
    refresh_token: Token


class Tokens(Schema):
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int


class Session(Schema):
    """A session that has not ended; `current` is the one that asks."""

    id: Id
    current: bool
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp


Sessions = Page[Session]


class Key(Schema):
    kid: str
    kty: str
    crv: str
    x: str
    use: str
    alg: str


class KeySet(Schema):
    keys: list[Key]


@api.post(
    "/api/auth/login",
    auth=ANYONE,
    responses={200: Tokens},
    errors=(domain.WrongCredentials, domain.AccountLocked, second_factor.SecondFactorRequired, TooManyFailures),
    idempotent=False,
)
def sign_in(body: Credentials, caller: Caller) -> Tokens:
    """Sign in with e-mail address and password, and with the code of a second factor where the account has one."""
    account_and_address = f"{addresses.email_key(body.email)} {caller.network}"
    limits.hit("sign-in", "5/minute", account_and_address, limits.count_in_store)
    limits.hit("sign-in-address", "20/minute", caller.network, limits.count_in_store)
    attempt = partial(application.sign_in, body.email, body.password, body.code, limit_codes)
    return _tokens(*sign_in_delays.sign_in(body.email, caller.network, attempt))


@api.post("/api/auth/refresh", auth=ANYONE, responses={200: Tokens}, errors=(sessions.SignedOut,), idempotent=False)
def refresh(body: RefreshToken, caller: Caller) -> Tokens:
    """Replace a refresh token by a new pair of tokens. A second use of a token ends the session."""
    account, session = application.renew(body.refresh_token)
    sign_in_delays.renewed(account, caller.network)
    return _tokens(account, session)


@api.post("/api/auth/logout", auth=ANYONE, responses={204: None}, errors=(sessions.SignedOut,), idempotent=False)
def sign_out(body: RefreshToken) -> Response:
    """Sign out: end the session of a refresh token."""
    application.sign_out(body.refresh_token)
    return Response(status=204)


@api.get("/api/auth/jwks.json", auth=ANYONE, responses={200: KeySet})
def public_keys() -> KeySet:
    """Get the keys that sign access tokens."""
    return KeySet.read(keys.public_keys())


@api.get("/api/users/me/sessions", auth=SIGNED_IN, responses={200: Sessions})
def list_sessions(query: PageQuery, caller: Caller) -> Sessions:
    """List your sessions that have not ended, newest first."""
    where = {"userId": caller.id, "ended": False}
    families, cursor = find_page(sessions.refresh_token_families, where, query, sort="-_id")
    live = access.find_live(families, repository.get(caller.id))
    return Sessions(items=[_session_view(doc, caller) for doc in live], next_cursor=cursor)


@api.delete("/api/users/me/sessions/{id}", auth=SIGNED_IN, responses={204: None})
def end_session(id: str, caller: Caller) -> Response:
    """End one of your sessions: neither its refresh token nor its access tokens are accepted anymore."""
    access.end_session(caller.id, id)
    return Response(status=204)


def _session_view(family: Doc, caller: Caller) -> Session:
    return Session(
        id=family["_id"],
        current=family["_id"] == caller.session,
        created_at=family.get("createdAt") or family["rotatedAt"],
        last_used_at=family["rotatedAt"],
        expires_at=family["expiresAt"],
    )


def _tokens(account: Doc, session: sessions.Session) -> Tokens:
    return Tokens(
        access_token=application.access_token(account, session),
        refresh_token=session.token,
        expires_in=int(settings().access_token),
    )
