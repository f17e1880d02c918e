"""E-mail: by SMTP to the server that `SMTP_URL` names, smtp://user:password@host:port or smtps://, or into `MAIL_DIR`.

MAIL_DIR/<user id>.<mail id>.eml        readable by its owner alone; the newest 1,000 are kept
"""

import os
import smtplib
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import unquote, urlsplit

from email_validator import EmailNotValidError, validate_email

from chassis.errors import OutcomeUnknown
from services.notifications.settings import settings

TIMEOUT_S = 5.0
MAX_FILES = 1000


def by_smtp() -> bool:
    """Return whether mail is sent."""
    return bool(settings().smtp_url.get_secret_value())


def is_on() -> bool:
    """Return whether mail is sent, or written to files."""
    return by_smtp() or bool(settings().mail_dir)


def send(id: str, user: str, address: str, subject: str, body: str) -> None:
    """Send one mail, or write it. Its Message-ID comes from `id`, so that mail servers recognize a repeated mail.

    Raises OutcomeUnknown.
    """
    try:
        message = _compose(id, address, subject, body)
        if by_smtp():
            _transfer(message)
        else:
            _write(f"{user}.{id}", message)
    except (OSError, smtplib.SMTPException, ValueError) as error:  # a mail that fails must not block the others
        raise OutcomeUnknown(f"the mail was not accepted: {type(error).__name__}") from error


def delete_files(user: str) -> None:
    """Delete the mails to a user from `MAIL_DIR`."""
    if settings().mail_dir:
        for path in Path(settings().mail_dir).glob(f"{user}.*"):
            path.unlink(missing_ok=True)


def _compose(id: str, address: str, subject: str, body: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings().mail_from, _deliverable(address), subject
    message["Message-ID"] = f"<{id}@{settings().mail_from.rpartition('@')[2]}>"
    message.set_content(body, cte="7bit" if body.isascii() else None)  # a link stays in one line
    return message


def _deliverable(address: str) -> str:
    """Return the address with its domain in ASCII, which every mail server accepts."""
    try:
        return validate_email(address, check_deliverability=False).ascii_email or address
    except EmailNotValidError:
        return address


def _transfer(message: EmailMessage) -> None:
    url = urlsplit(settings().smtp_url.get_secret_value())
    client = smtplib.SMTP_SSL if url.scheme == "smtps" else smtplib.SMTP
    with client(url.hostname or "localhost", url.port or 0, timeout=TIMEOUT_S) as server:
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        server.send_message(message)


def _write(name: str, message: EmailMessage) -> None:
    folder = Path(settings().mail_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f"{name}.{os.getpid()}.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(bytes(message))
    draft.replace(folder / f"{name}.eml")


def delete_old_files() -> None:
    """Delete all but the newest mails from `MAIL_DIR`."""
    files = list(Path(settings().mail_dir).glob("*.eml")) if settings().mail_dir else []
    if len(files) > MAX_FILES:
        for path in sorted(files, key=lambda path: path.name.partition(".")[2])[:-MAX_FILES]:
            path.unlink(missing_ok=True)
