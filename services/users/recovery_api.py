"""`/api/auth/verifications` and `/api/auth/resets`: links by mail, whose tokens travel in bodies only."""

from typing import Annotated

from pydantic import StringConstraints

from chassis.schema import SINGLE_LINE, RequestBody
from chassis.web import limits
from chassis.web.api import ANYONE, Api, Response
from chassis.web.auth import Caller
from services.users import addresses, recovery, sign_in_delays
from services.users.api import AnyEmail, limit_credential_changes
from services.users.domain import EmailTaken
from services.users.passwords import Password

api = Api()

_Token = Annotated[str, StringConstraints(max_length=200), SINGLE_LINE]


class Address(RequestBody):
    email: AnyEmail


class Confirmation(RequestBody):
    token: _Token


class NewPassword(RequestBody):
    token: _Token
    password: Password


@api.post("/api/auth/verifications", auth=ANYONE, responses={202: None}, idempotent=False)
def request_verification(body: Address, caller: Caller) -> Response:
    """Ask for a mail with a link that verifies an address. The response does not tell whether an account has it."""
    _limit("verification", body.email, caller)
    recovery.request_verification(body.email)
    return Response(status=202)


@api.post("/api/auth/resets", auth=ANYONE, responses={202: None}, idempotent=False)
def request_reset(body: Address, caller: Caller) -> Response:
    """Ask for a mail with a link to set a new password. The response does not tell whether an account exists."""
    _limit("reset", body.email, caller)
    recovery.request_reset(body.email)
    return Response(status=202)


@api.post(
    "/api/auth/verifications/confirm",
    auth=ANYONE,
    responses={204: None},
    errors=(recovery.LinkExpired, EmailTaken),
    idempotent=False,
)
def confirm_verification(body: Confirmation, caller: Caller) -> Response:
    """Confirm an address with the token of a link."""
    limits.hit("confirmation", "20/minute", caller.network, limits.count_in_store)
    recovery.confirm_address(body.token)
    return Response(status=204)


@api.post(
    "/api/auth/resets/confirm",
    auth=ANYONE,
    responses={204: None},
    errors=(recovery.LinkExpired,),
    idempotent=False,
)
def confirm_reset(body: NewPassword, caller: Caller) -> Response:
    """Set a new password with the token of a link. All sessions of the account end."""
    limits.hit("confirmation", "20/minute", caller.network, limits.count_in_store)
    account = recovery.confirm_reset(body.token, body.password, limit_credential_changes)
    sign_in_delays.reset(account, caller.network)
    return Response(status=204)


def _limit(name: str, email: str, caller: Caller) -> None:
    """Count a request for a mail: per address and client, per client, and per address, against floods of mail."""
    key = addresses.email_key(email)
    limits.hit(name, "5/minute", f"{key} {caller.network}", limits.count_in_store)
    limits.hit(f"{name}-client", "20/minute", caller.network, limits.count_in_store)
    limits.hit(f"{name}-address", "20/hour", key, limits.count_in_store)
