"""Messages: `Event`, a fact that a service publishes, and `Command`, what one service asks another to do.

    class OrderShipped(Event, type="order.shipped", key="order_id"):
        order_id: Id

    class Reserve(Command, errors=(InsufficientStock, Released)):
        order_id: Id
        lines: list[Line]

        class Reply(Schema):
            expires_at: str

A message belongs to the service whose package declares it. On the wire its fields are camelCase.
"""

import re
from typing import ClassVar

from chassis.errors import DomainError
from chassis.schema import Schema


class Event(Schema):
    """Something that happened. `type` is its permanent name, `key` the field with the aggregate's id."""

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
        """The id of the aggregate."""
        return str(getattr(self, self.key))


class EmptyReply(Schema):
    """A reply without fields."""


class Command(Schema):
    """What one service asks another, at `POST /internal/<name>`; repeated under the same key, it takes effect once."""

    name: ClassVar[str] = ""
    service: ClassVar[str] = ""
    timeout_s: ClassVar[float] = 1.0
    """How long a caller waits for one reply."""
    read_only: ClassVar[bool] = False
    """It changes nothing, and needs no key to be repeated."""
    errors: ClassVar[tuple[type[DomainError], ...]] = ()
    """The domain errors that it may be answered with."""
    Reply: ClassVar[type[Schema]] = EmptyReply

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        timeout_s: float = 1.0,
        read_only: bool = False,
        errors: tuple[type[DomainError], ...] = (),
    ) -> None:
        cls.timeout_s, cls.read_only, cls.errors = timeout_s, read_only, errors
        cls.name = name or re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        cls.service = _owner(cls.__module__)


def _owner(module: str) -> str:
    """Return the name of the package that holds the module, of the module where it is in none."""
    package = module.rpartition(".")[0]
    return package.rpartition(".")[2] or module
