"""E-mail addresses: the form that is stored, and the key that all spellings of an address share.

The domain part follows UTS 46, non-transitional, as email-validator applies it: `xn--bcher-kva.example`,
`BÜCHER.example` and `bücher。example` are one domain; `faß.example` and `fass.example` are two. The local part is
compared without case.
"""

import unicodedata

from email_validator import EmailNotValidError, validate_email

from chassis.errors import InvalidInput


def normalize_email(email: str) -> str:
    """Return the form of an e-mail address to store and to send mail to. Raises InvalidInput."""
    try:
        return validate_email(email, check_deliverability=False).normalized
    except EmailNotValidError:
        raise InvalidInput(("email", "must be an e-mail address")) from None


def email_key(email: str) -> str:
    """Return the key that all spellings of an e-mail address share; it is unique among accounts.

    Text that is no e-mail address has a key, too, which no account has.
    """
    try:
        valid = validate_email(email, check_deliverability=False)
    except EmailNotValidError:
        return f"invalid:{_fold(email)}"
    return f"{_fold(valid.local_part)}@{valid.domain}"


def possible_keys(email: str) -> list[str]:
    """Return the key of an address and the one that release 0.2.0 stored for it, which other addresses share.

    They differ where case folding changes the domain, as that of `faß.example`.
    """
    try:
        former = _fold(normalize_email(email))
    except InvalidInput:
        former = ""
    return sorted({email_key(email), former} - {""})


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())
