"""What `users` says and can be asked. Personal data travel in `user.created` and `user.updated` alone."""

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


class CheckBuyer(Command, read_only=True):
    """Is there such a user, and may they buy? Refused as `buyer_unknown`."""

    user_id: Id
