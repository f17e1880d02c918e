"""E-mail by SMTP, to the server that `SMTP_URL` names: smtp://user:password@host:port, or smtps://."""

import smtplib
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from chassis.errors import OutcomeUnknown
from services.notifications.settings import settings

TIMEOUT_S = 5.0


def send(id: str, address: str, subject: str, body: str) -> None:
    """Send one mail. Its Message-ID comes from `id`, so that mail servers recognize a repeated mail.

    Raises OutcomeUnknown.
    """
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings().mail_from, address, subject
    message["Message-ID"] = f"<{id}@{settings().mail_from.rpartition('@')[2]}>"
    message.set_content(body)
    url = urlsplit(settings().smtp_url)
    client = smtplib.SMTP_SSL if url.scheme == "smtps" else smtplib.SMTP
    try:
        with client(url.hostname or "localhost", url.port or 0, timeout=TIMEOUT_S) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise OutcomeUnknown(f"the mail server did not accept the mail: {type(error).__name__}") from error
