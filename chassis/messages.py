"""Messages: what a service says happened (`Event`), and what it is asked to do by another (`Command`).

    class OrderShipped(Event, type="order.shipped", key="order_id"):
        order_id: Id

    class Reserve(Command, name="reserve"):
        order_id: Id
        lines: tuple[Line, ...]

        class Reply(Schema):
            expires_at: str

The service a message belongs to is the package that declares it. On the wire everything is camelCase.
"""

import re
from typing import ClassVar

from chassis.schema import Schema


class Event(Schema):
    """Something that happened. `type` names it for ever, `key` is the field with the aggregate's id."""

    type: ClassVar[str] = ""
    key: ClassVar[str] = ""
    service: ClassVar[str] = ""
    public: ClassVar[bool] = True
    erases: ClassVar[bool] = False

    def __init_subclass__(cls, *, type: str = "", key: str = "", public: bool = True, erases: bool = False) -> None:
        cls.type, cls.key, cls.public, cls.erases = type, key, public, erases
        cls.service = _owner(cls.__module__)

    @property
    def subject(self) -> str:
        """The id of the aggregate that it happened to."""
        return str(getattr(self, self.key))


class EmptyReply(Schema):
    """The answer that holds nothing."""


class Command(Schema):
    """What one service asks of another, at `POST /internal/<name>`; repeated with the same key, it is done once."""

    name: ClassVar[str] = ""
    service: ClassVar[str] = ""
    timeout_s: ClassVar[float] = 1.0
    """Seconds that a caller waits for one answer at most."""
    read_only: ClassVar[bool] = False
    """It changes nothing, and needs no key to be repeated."""
    Reply: ClassVar[type[Schema]] = EmptyReply

    def __init_subclass__(cls, *, name: str = "", timeout_s: float = 1.0, read_only: bool = False) -> None:
        cls.timeout_s, cls.read_only = timeout_s, read_only
        cls.name = name or re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        cls.service = _owner(cls.__module__)


def _owner(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "services" and len(parts) > 1 else parts[0]
