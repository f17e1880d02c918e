"""`/api/users/me/second-factor`: an administrator sets up, sees and removes the second factor."""

from typing import Annotated

from pydantic import Field, StringConstraints

from chassis.errors import Forbidden, NotFound
from chassis.schema import SINGLE_LINE, RequestBody, Schema
from chassis.store import Doc
from chassis.web import limits
from chassis.web.api import SIGNED_IN, Api, Response
from chassis.web.auth import Caller
from services.users import credentials, repository, second_factor
from services.users.api import CurrentPassword, limit_credential_changes, limit_guesses

api = Api()

Code = Annotated[str, StringConstraints(max_length=40), SINGLE_LINE]
_CODE_LIMITS = {"second-factor": "5/minute", "second-factor-hour": "30/hour"}
"""Per account, whatever the client address: of six-digit codes, three are valid at a time and must not be guessed."""


class EnrollSecondFactor(RequestBody):
    current_password: CurrentPassword


class ConfirmSecondFactor(RequestBody):
    code: Code


class RemoveSecondFactor(RequestBody):
    current_password: CurrentPassword
    code: Code


class SecondFactor(Schema):
    enabled: bool
    required: bool
    """Whether the platform requires it of this user, who has the rights of a customer until then."""
    recovery_codes_left: int


class SecondFactorOffer(Schema):
    secret: str
    uri: str


class RecoveryCodes(Schema):
    recovery_codes: list[Annotated[str, Field(examples=["ABCD-EFGH-IJKL-MNOP"])]]


@api.get("/api/users/me/second-factor", auth=SIGNED_IN, responses={200: SecondFactor}, errors=(NotFound,))
def get_second_factor(caller: Caller) -> SecondFactor:
    """Get whether you have a second factor, and whether you need one."""
    account = repository.get(caller.id)
    return SecondFactor(
        enabled=second_factor.is_enabled(account),
        required=second_factor.is_required(account),
        recovery_codes_left=second_factor.recovery_codes_left(account),
    )


@api.post(
    "/api/users/me/second-factor",
    auth=SIGNED_IN,
    responses={201: SecondFactorOffer},
    errors=(NotFound, Forbidden, credentials.ReauthenticationRequired, second_factor.SecondFactorEnabled),
    idempotent=False,
)
def enroll_second_factor(body: EnrollSecondFactor, caller: Caller) -> Response:
    """Get a secret for your authenticator app, which becomes the second factor once a code confirms it."""
    offer = second_factor.offer(_reauthenticated(caller, body.current_password))
    return Response(SecondFactorOffer(secret=offer.secret, uri=offer.uri), 201)


@api.post(
    "/api/users/me/second-factor/confirm",
    auth=SIGNED_IN,
    responses={200: RecoveryCodes},
    errors=(NotFound, second_factor.NoSecondFactor, second_factor.SecondFactorEnabled, second_factor.WrongCode),
    idempotent=False,
)
def confirm_second_factor(body: ConfirmSecondFactor, caller: Caller) -> RecoveryCodes:
    """Turn on the second factor: the recovery codes are shown once, and you sign in again with a new code."""
    limit_codes(caller.session or caller.id)  # not that of sign-in, which a stolen token would use up
    return RecoveryCodes(recovery_codes=second_factor.confirm(caller.id, body.code))


@api.delete(
    "/api/users/me/second-factor",
    auth=SIGNED_IN,
    responses={204: None},
    errors=(
        NotFound,
        credentials.ReauthenticationRequired,
        second_factor.NoSecondFactor,
        second_factor.WrongCode,
    ),
    idempotent=False,
)
def remove_second_factor(body: RemoveSecondFactor, caller: Caller) -> Response:
    """Remove your second factor; all your sessions end."""
    second_factor.remove(_reauthenticated(caller, body.current_password), body.code, limit_codes)
    return Response(status=204)


def _reauthenticated(caller: Caller, current_password: str) -> Doc:
    """Return the caller's account. Raises NotFound, RateLimited, ReauthenticationRequired."""
    account = repository.get(caller.id)
    limit_guesses(caller, current_password)
    credentials.require_reauthentication(caller.id, account, current_password, limit_credential_changes)
    return account


def limit_codes(account_id: str) -> None:
    """Count an attempt at the codes of an account, in the store. Raises RateLimited."""
    for name, rule in _CODE_LIMITS.items():
        limits.hit(name, rule, account_id, limits.count_in_store)
