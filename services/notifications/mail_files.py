"""Mails as files, for a platform without a mail server.

MAIL_DIR/<user id>.<mail id>.eml        readable by its owner alone; the newest 1,000 are kept
"""

import os
from email.message import EmailMessage
from pathlib import Path

from services.notifications.settings import settings

MAX_FILES = 1000
MAX_HEADER_LINE = 998
"""Characters, the limit of RFC 5322. To fit a long URL into a shorter line, `email` would encode it beyond use."""


def write(user: str, id: str, message: EmailMessage) -> None:
    """Write the mail `id` to a user. Raises OSError."""
    folder = Path(settings().mail_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f"{user}.{id}.{os.getpid()}.new"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(to_bytes(message))
    draft.replace(folder / f"{user}.{id}.eml")


def to_bytes(message: EmailMessage) -> bytes:
    """Return a mail as it is written."""
    return message.as_bytes(policy=message.policy.clone(max_line_length=MAX_HEADER_LINE))


def delete_of(user: str) -> None:
    """Delete the mails to a user."""
    if settings().mail_dir:
        for path in Path(settings().mail_dir).glob(f"{user}.*"):
            path.unlink(missing_ok=True)


def delete_old() -> None:
    """Delete all but the newest mails."""
    files = list(Path(settings().mail_dir).glob("*.eml")) if settings().mail_dir else []
    if len(files) > MAX_FILES:
        for path in sorted(files, key=lambda path: path.name.partition(".")[2])[:-MAX_FILES]:
            path.unlink(missing_ok=True)
