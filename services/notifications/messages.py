"""The event and the command of `notifications`."""

from enum import StrEnum

from chassis.errors import DomainError
from chassis.messages import Command, Event
from chassis.personal_data import ExportQuery
from chassis.schema import Id, Timestamp


class NotificationSent(Event, type="notification.sent", key="notification_id"):
    notification_id: Id
    user_id: Id
    kind: str


class AccountMail(StrEnum):
    """What a mail about an account says."""

    VERIFICATION = "verification"
    """A link that confirms the address of an account."""
    ADDRESS_CHANGE = "address_change"
    """A link that confirms the new address of an account."""
    RESET = "reset"
    """A link to set a new password."""
    ADDRESS_CHANGE_REQUESTED = "address_change_requested"
    """To the present address: another one was entered, and is not confirmed yet."""
    ADDRESS_CHANGED = "address_changed"
    """To the former address: the account has another one now."""


class MailOff(DomainError):
    """The platform sends no mail."""

    def __init__(self) -> None:
        super().__init__("Set SMTP_URL of notifications.")


class SendAccountMail(Command, callers=("users",), timeout_s=3.5, errors=(MailOff,)):
    """Mail one person about their account, once for each `mail_id`. Its fields are secret: nothing logs them."""

    mail_id: Id
    user_id: Id
    address: str
    kind: AccountMail
    link: str
    """Where to confirm it; "" for a mail that only informs."""
    language: str = "en"
    expires_at: Timestamp
    """The time until which sending is retried."""


class ExportUser(ExportQuery, callers=("users",), read_only=True, timeout_s=2.0):
    """Return what `notifications` keeps about a user."""
