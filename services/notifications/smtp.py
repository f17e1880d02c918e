"""SMTP (RFC 5321): one connection for the mails of a run, encrypted and verified as `SMTP_URL` and its settings say."""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.generator import BytesGenerator
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from enum import StrEnum
from io import BytesIO
from typing import Any
from urllib.parse import unquote, urlsplit

from chassis.errors import TransientError
from services.notifications.mail_files import MAX_HEADER_LINE
from services.notifications.settings import settings

TIMEOUT_S = 20.0
"""For each reply. Servers that examine a mail take seconds; a mail whose reply is not awaited is sent again."""
_MAX_TEXT = 300
_ADDRESS = re.compile(r"[^\s<>]+@[^\s<>]+")
_STARTED = 354
"""The reply after which the server waits for the mail."""


class ServerUnavailable(TransientError):
    """The server cannot be reached, is not the expected one, or refuses the sign-in. No mail has been judged."""


class Outcome(StrEnum):
    """What is known about a mail after an attempt."""

    SENT = "sent"
    DEFERRED = "deferred"
    """The server does not take it now, or was gone before it got it."""
    REFUSED = "refused"
    """The server will never take it."""
    BOUNCED = "bounced"
    """There is no such recipient."""
    UNKNOWN = "unknown"
    """The server got the mail; its reply was lost."""


@dataclass(frozen=True)
class Reply:
    """The outcome of a mail, with the code (0: none) and the text of the server, without addresses."""

    outcome: Outcome
    code: int = 0
    text: str = ""


class Session:
    """A connection to the server. After a connection was lost, the next mail opens another one."""

    def __init__(self) -> None:
        self._client: Any = None

    def connect(self) -> None:
        """Connect unless it is connected. Raises ServerUnavailable."""
        if self._client is None:
            self._client = _connect()

    def send(self, message: EmailMessage) -> Reply:
        """Send one mail to its only recipient. Raises ServerUnavailable."""
        self.connect()
        try:
            reply = self._transfer(message)
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            outcome = Outcome.UNKNOWN if self._client.last_code == _STARTED else Outcome.DEFERRED
            reply = Reply(outcome, 0, f"connection lost: {type(error).__name__}")
        if reply.code in (0, 421):
            self.close()
        return reply

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, smtplib.SMTPException):
                client.quit()
            client.close()

    def _transfer(self, message: EmailMessage) -> Reply:
        client, recipient = self._client, str(message["To"])
        needs_utf8 = not recipient.isascii()
        if needs_utf8 and not client.has_extn("smtputf8"):
            return Reply(Outcome.REFUSED, 553, "the server does not know SMTPUTF8, which this address needs")
        code, text = client.mail(str(message["From"]), ["SMTPUTF8", "BODY=8BITMIME"] if needs_utf8 else [])
        is_recipient = False
        if code < 300:
            code, text = client.rcpt(recipient)
            is_recipient = True
        if code < 300:
            is_recipient = False
            code, text = _data(client, _to_bytes(message, needs_utf8))
        if code >= 300 and not self._is_reset():
            self.close()
        return _judge(code, _clean(text, recipient), is_recipient)

    def _is_reset(self) -> bool:
        """Prepare the connection for the next mail; return False if that fails."""
        try:
            return bool(self._client.rset()[0] == 250)
        except (OSError, smtplib.SMTPException):
            return False


@contextmanager
def session() -> Iterator[Session]:
    """Yield a session that is closed at the end."""
    opened = Session()
    try:
        yield opened
    finally:
        opened.close()


class _RemembersReplies(smtplib.SMTP):
    last_code = 0

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()
        self.last_code = code
        return code, text


class _Tls(_RemembersReplies, smtplib.SMTP_SSL):
    pass


def _connect() -> _RemembersReplies:
    chosen, url = settings(), urlsplit(settings().smtp_url.get_secret_value())
    host, port = url.hostname or "localhost", url.port or 0
    client: _RemembersReplies | None = None
    try:
        context = ssl.create_default_context(cadata=chosen.smtp_ca or None)
        if url.scheme == "smtps":
            client = _Tls(host, port, timeout=TIMEOUT_S, context=context)
        else:
            client = _RemembersReplies(host, port, timeout=TIMEOUT_S)
            if chosen.smtp_starttls == "required" or (chosen.smtp_starttls == "auto" and url.username):
                client.starttls(context=context)
        client.ehlo_or_helo_if_needed()
        if url.username:
            client.login(unquote(url.username), unquote(url.password or ""))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        if client is not None:
            client.close()
        raise ServerUnavailable(f"the mail server is not usable: {_reason(error)}") from error
    return client


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it offers no STARTTLS or no sign-in that is known here; see SMTP_STARTTLS"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    return f"{type(error).__name__}: {error.strerror or error}" if isinstance(error, OSError) else type(error).__name__


def _data(client: _RemembersReplies, message: bytes) -> tuple[int, bytes]:
    try:
        return client.data(message)
    except smtplib.SMTPDataError as error:  # another reply than 354
        text = error.smtp_error
        return error.smtp_code, text if isinstance(text, bytes) else text.encode()


def _to_bytes(message: EmailMessage, utf8: bool) -> bytes:
    buffer = BytesIO()
    policy = SMTPUTF8 if utf8 else SMTP
    BytesGenerator(buffer, policy=policy.clone(max_line_length=MAX_HEADER_LINE)).flatten(message)
    return buffer.getvalue()


def _judge(code: int, text: str, is_recipient: bool) -> Reply:
    if 200 <= code < 300:
        return Reply(Outcome.SENT, code, text)
    if not 500 <= code < 600:
        return Reply(Outcome.DEFERRED, code, text)
    status = re.match(r"5\.(\d+)\.\d+", text)  # RFC 3463; 5.1.x is about the address
    is_gone = code in (550, 551, 553) and (status is None or status[1] == "1")
    return Reply(Outcome.BOUNCED if is_recipient and is_gone else Outcome.REFUSED, code, text)


def _clean(text: bytes, recipient: str) -> str:
    """Return the text of a reply without addresses: it is logged and stored."""
    shown = _ADDRESS.sub("<address>", text.decode("ascii", "replace").replace(recipient, "<address>"))
    local = recipient.rpartition("@")[0]
    shown = re.sub(rf"\b{re.escape(local)}\b", "<address>", shown, flags=re.IGNORECASE)
    return " ".join(shown.split())[:_MAX_TEXT]
