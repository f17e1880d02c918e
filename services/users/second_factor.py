"""The second factor of administrators: one-time passwords by time (TOTP, RFC 6238) and recovery codes.

    secondFactor: {secret, key, lastStep, recoveryCodes: {"<hash>": true}, since}       None without one
    secondFactorOffer: {secret, key, until}

Both are fields of the account. An offer becomes the second factor once a code confirms it. Each code counts once:
`lastStep` is the time step of the last one. The secret is encrypted (JWE) under `key`, the id of a platform secret, so
that a copy of the store does not give it away; recovery codes are kept as hashes.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyotp
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pyotp.exceptions import OTPVerificationError

from chassis import clock
from chassis.errors import DomainError, ErrorCategory, Forbidden
from chassis.keyed_hash import keyed_hash, keyed_hashes, secret_ids
from chassis.observe.log import log
from chassis.settings import PLATFORM
from chassis.store import Doc, Filter, Update
from services.users import credentials, repository
from services.users.security_events import SecurityEvent, record
from services.users.settings import settings

RECOVERY_CODES = 10
OFFER_S = 600.0
"""Time in which a code must confirm an offered secret."""
_WINDOW_STEPS = 1  # RFC 6238, 5.2: one step of 30 s before and after, for clocks that differ
_RECOVERY_BYTES = 10  # 80 bits, or 16 characters: no dictionary and no brute force finds one from its hash
_DIGITS = 6
_SECRET_BYTES = 20  # 160 bits, as RFC 4226, 4 recommends
_ISSUER = PLATFORM.title()
_KEY_PURPOSE = b"second factor"

REMOVED: Mapping[str, Any] = {"secondFactor": None, "secondFactorOffer": None}
"""The fields of an account without a second factor."""

CountAttempt = Callable[[str], object]
"""Counts an attempt at the codes of an account against a rate limit; raises an error above it."""


class SecondFactorRequired(DomainError, title="Unauthorized", category=ErrorCategory.UNAUTHENTICATED):
    """The password is right, and the account has a second factor: the code is missing or not right."""

    def __init__(self) -> None:
        super().__init__("Send a new code of your authenticator app, or a recovery code, as code.")


class WrongCode(DomainError, category=ErrorCategory.FORBIDDEN):
    """The code is not right, or was used before."""

    def __init__(self) -> None:
        super().__init__("Wait for the next code of your authenticator app, and send that.")


class SecondFactorEnabled(DomainError):
    """The account has a second factor already."""

    def __init__(self) -> None:
        super().__init__("Remove the present second factor first.")


class NoSecondFactor(DomainError):
    """There is nothing to confirm or to remove."""

    def __init__(self) -> None:
        super().__init__("Begin with POST /api/users/me/second-factor, and confirm within 10 minutes.")


@dataclass(frozen=True)
class Offer:
    """A secret to enter into an authenticator app, as text and as `otpauth://` URI for a QR code."""

    secret: str
    uri: str


def is_enabled(account: Doc) -> bool:
    """Return whether the account has a second factor."""
    return bool(account.get("secondFactor"))


def is_required(account: Doc) -> bool:
    """Return whether the account must have a second factor to act as administrator."""
    return account["role"] == "admin" and settings().second_factor == "required"


def effective_role(account: Doc) -> str:
    """Return the role that access tokens carry: without the second factor that it must have, that of a customer."""
    return "customer" if is_required(account) and not is_enabled(account) else str(account["role"])


def offer(account: Doc) -> Offer:
    """Offer a new secret; one offered before is forgotten. Raises Forbidden, SecondFactorEnabled."""
    while True:
        if account["role"] != "admin":
            raise Forbidden("A second factor is for administrators.")
        if is_enabled(account):
            raise SecondFactorEnabled
        secret = base64.b32encode(clock.entropy(_SECRET_BYTES)).decode()
        stored = {**_encrypted(secret), "until": clock.timestamp_in(OFFER_S)}
        when = {"version": account["version"]}  # enabling raises it
        if repository.accounts.update(account["_id"], {"$set": {"secondFactorOffer": stored}}, when=when):
            return Offer(secret, pyotp.TOTP(secret).provisioning_uri(name=account["email"], issuer_name=_ISSUER))
        account = repository.get(account["_id"])


def confirm(id: str, code: str) -> list[str]:
    """Make the offered secret the second factor, end all sessions, and return the recovery codes.

    Raises NotFound, NoSecondFactor, SecondFactorEnabled, WrongCode.
    """
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]

    def enable(account: Doc) -> Doc:
        if is_enabled(account):
            raise SecondFactorEnabled
        offered = account.get("secondFactorOffer")
        if not offered or offered["until"] <= clock.timestamp():
            raise NoSecondFactor
        step = _matching_step(offered, code)
        if step is None:
            raise WrongCode
        fields = {"lastStep": step, "recoveryCodes": dict.fromkeys(map(_hash, codes), True), "since": clock.timestamp()}
        return {
            "secondFactor": {"secret": offered["secret"], "key": offered["key"], **fields},
            "secondFactorOffer": None,
        }

    credentials.change(id, enable)
    record(SecurityEvent.CREDENTIALS_CHANGED, id, change="second factor enabled")
    return codes


def remove(account: Doc, code: str, count_attempt: CountAttempt) -> None:
    """Remove the second factor after its owner proves it by a code, and end all sessions.

    Raises NoSecondFactor, WrongCode, and what `count_attempt` raises.
    """
    if not is_enabled(account):
        raise NoSecondFactor
    if not _use(account, code, count_attempt):
        raise WrongCode
    credentials.change(account["_id"], lambda current: REMOVED if is_enabled(current) else None)
    record(SecurityEvent.CREDENTIALS_CHANGED, account["_id"], change="second factor removed")


def check(account: Doc, code: str, count_attempt: CountAttempt) -> None:
    """Check the code of a sign-in, after the password; an account without a second factor needs none.

    Raises SecondFactorRequired, and what `count_attempt` raises.
    """
    if not is_enabled(account):
        return
    if not code:
        raise SecondFactorRequired
    if not _use(account, code, count_attempt):
        record(SecurityEvent.SIGN_IN_FAILED, account["_id"], change="second factor")
        raise SecondFactorRequired


def recovery_codes_left(account: Doc) -> int:
    """Return the number of unused recovery codes."""
    return len(account["secondFactor"]["recoveryCodes"]) if is_enabled(account) else 0


def renew_encryption() -> None:
    """Encrypt the secrets under the current platform secret, so that a former one can be dropped."""
    for account in repository.accounts.iterate({"role": "admin"}):
        for field in ("secondFactor", "secondFactorOffer"):
            stored = account.get(field)
            if stored and stored["key"] != secret_ids()[0] and (secret := _decrypt(stored)):
                fresh = {f"{field}.{name}": value for name, value in _encrypted(secret).items()}
                when = {f"{field}.secret": stored["secret"]}
                repository.accounts.update(account["_id"], {"$set": fresh}, when=when)


def _use(account: Doc, code: str, count_attempt: CountAttempt) -> bool:
    """Use up a code or a recovery code of the account; return whether it was right and new."""
    count_attempt(account["_id"])
    factor, compact = account["secondFactor"], code.replace("-", "").replace(" ", "").upper()
    unused: dict[str, Any] = {"secondFactor.since": factor["since"]}
    if len(compact) > _DIGITS:
        path = f"secondFactor.recoveryCodes.{_hash(compact)}"
        return _update(account, {"$unset": {path: True}}, {**unused, path: True})
    step = _matching_step(factor, compact)
    if step is None:
        return False
    last = "secondFactor.lastStep"
    return _update(account, {"$set": {last: step}}, {**unused, last: {"$lt": step}})


def _update(account: Doc, update: Update, when: Filter) -> bool:
    return repository.accounts.update(account["_id"], update, when=when) is not None


def _matching_step(stored: Doc, code: str) -> int | None:
    """Return the time step whose code this is, if it is the present one or next to it."""
    secret = _decrypt(stored)
    if not secret:
        return None
    try:
        now = clock.now().timestamp()
        return pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=now, valid_window=_WINDOW_STEPS)
    except OTPVerificationError:
        return None


def _encrypted(secret: str) -> Doc:
    key = OctKey.import_key(keyed_hash(_KEY_PURPOSE))
    return {"secret": jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, secret, key), "key": secret_ids()[0]}


def _decrypt(stored: Doc) -> str:
    """Return the secret, or "" if no accepted secret of the platform is the one that it was encrypted with."""
    for key in keyed_hashes(_KEY_PURPOSE):
        try:
            return (jwe.decrypt_compact(stored["secret"], OctKey.import_key(key)).plaintext or b"").decode()
        except (JoseError, ValueError):
            continue
    log.error("second factor cannot be decrypted: PLATFORM_SECRET was replaced without an overlap")
    return ""


def _recovery_code() -> str:
    text = base64.b32encode(clock.entropy(_RECOVERY_BYTES)).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _hash(recovery_code: str) -> str:
    return hashlib.sha256(recovery_code.replace("-", "").encode()).hexdigest()
