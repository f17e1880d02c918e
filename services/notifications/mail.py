"""E-mail: composes a mail, and sends it to the server that `SMTP_URL` names, or writes it to `MAIL_DIR`."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import format_datetime
from typing import NamedTuple, Protocol

from email_validator import EmailNotValidError, validate_email

from chassis import clock
from services.notifications import mail_files, smtp
from services.notifications.settings import settings
from services.notifications.smtp import Outcome, Reply, ServerUnavailable

__all__ = ["Mail", "Outcome", "Reply", "ServerUnavailable", "Transport", "by_smtp", "is_on", "transport"]


class Mail(NamedTuple):
    """A mail to one user. Its Message-ID comes from `id`, so that mail servers recognize a repeated mail."""

    id: str
    user: str
    address: str
    subject: str
    text: str
    html: str
    language: str
    created_at: str
    unsubscribe_url: str = ""
    """Where one POST ends such mails (RFC 8058); "" for a mail that does not advertise."""


class Transport(Protocol):
    """Takes mails, one after the other."""

    def connect(self) -> None:
        """Raises ServerUnavailable: no mail would be taken now."""

    def send(self, mail: Mail) -> Reply:
        """Send one mail. Raises ServerUnavailable."""


def by_smtp() -> bool:
    """Return whether mail is sent."""
    return bool(settings().smtp_url.get_secret_value())


def is_on() -> bool:
    """Return whether mail is sent, or written to files."""
    return by_smtp() or bool(settings().mail_dir)


@contextmanager
def transport() -> Iterator[Transport]:
    """Yield the transport that is set; it keeps one connection until the end."""
    if by_smtp():
        with smtp.session() as session:
            yield _Smtp(session)
    else:
        yield _Files()
        mail_files.delete_old()


class _Smtp:
    def __init__(self, session: smtp.Session) -> None:
        self._session = session
        self.connect = session.connect

    def send(self, mail: Mail) -> Reply:
        # Quoted-printable splits long lines, which every client joins again; 7bit keeps a link readable in transit.
        return self._session.send(compose(mail, "7bit" if mail.text.isascii() else "quoted-printable"))


class _Files:
    def connect(self) -> None:
        pass

    def send(self, mail: Mail) -> Reply:
        try:
            mail_files.write(mail.user, mail.id, compose(mail, "8bit"))
        except OSError as error:
            return Reply(Outcome.DEFERRED, 0, f"not written: {error.strerror}")
        return Reply(Outcome.SENT)


def compose(mail: Mail, encoding: str) -> EmailMessage:
    """Return a mail with its headers, as text and as HTML."""
    sender, message = settings().mail_from, EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, _deliverable(mail.address), mail.subject
    message["Date"] = format_datetime(clock.parse_timestamp(mail.created_at))
    message["Message-ID"] = f"<{mail.id}@{sender.rpartition('@')[2]}>"
    message["Reply-To"] = settings().mail_reply_to or sender
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply
    if mail.unsubscribe_url:
        message["List-Unsubscribe"] = f"<{mail.unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(mail.text, cte=encoding)
    message.add_alternative(mail.html, subtype="html", cte="8bit" if encoding == "8bit" else "quoted-printable")
    message["Content-Language"] = mail.language  # last: `add_alternative` moves such headers into the first part
    return message


def _deliverable(address: str) -> str:
    """Return the address with its domain in ASCII, which every mail server accepts."""
    try:
        found = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        return address
    return found.ascii_email or f"{found.local_part}@{found.ascii_domain}"
