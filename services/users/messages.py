"""The events and commands of `users`. Only `user.created` and `user.updated` carry personal data."""

from chassis.errors import DomainError, ErrorCategory
from chassis.messages import Command, Event
from chassis.schema import Id


class UserCreated(Event, type="user.created", key="user_id"):
    user_id: Id
    email: str
    name: str


class UserUpdated(Event, type="user.updated", key="user_id"):
    user_id: Id
    email: str
    name: str


class UserDeleted(Event, type="user.deleted", key="user_id", erases=True):
    user_id: Id


class BuyerUnknown(DomainError, category=ErrorCategory.FORBIDDEN):
    """The buyer has no account."""

    def __init__(self) -> None:
        super().__init__("This account does not exist anymore.")


class CheckBuyer(Command, read_only=True, errors=(BuyerUnknown,)):
    """Check that a user exists and may buy."""

    user_id: Id
