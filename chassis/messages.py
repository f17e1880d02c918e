"""Messages: `Event`, a fact that a service publishes, and `Command`, what one service asks another to do.

    class OrderShipped(Event, type="order.shipped", key="order_id"):
        order_id: Id

    class Reserve(Command, callers=("orders",), errors=(InsufficientStock, Released)):
        order_id: Id
        lines: list[Line]

        class Reply(Schema):
            expires_at: str

A message belongs to the service whose package declares it. On the wire its fields are camelCase.
"""

import re
from inspect import get_annotations
from typing import ClassVar, Final

from chassis.errors import DomainError
from chassis.schema import Schema

ANY_SERVICE: Final = "*"
"""Among the callers of a command: every service of the platform."""


class Event(Schema):
    """Something that happened to an aggregate."""

    type: ClassVar[str] = ""
    """The permanent name of the event."""
    key: ClassVar[str] = ""
    """The field with the id of the aggregate."""
    service: ClassVar[str] = ""
    public: ClassVar[bool] = True
    """Whether the event is published; an internal event stays in its stream."""
    erases: ClassVar[bool] = False
    """Whether the event ends its aggregate: consumers then delete the dead letters of its key."""
    unordered: ClassVar[bool] = False
    """Whether handlers need no order: consumers handle the event although an earlier one of its key is parked."""

    def __init_subclass__(
        cls, *, type: str = "", key: str = "", public: bool = True, erases: bool = False, unordered: bool = False
    ) -> None:
        _check_fields(cls, Event)
        cls.type, cls.key, cls.public, cls.erases, cls.unordered = type, key, public, erases, unordered
        cls.service = owner_of(cls.__module__)

    @property
    def subject(self) -> str:
        """The id of the aggregate that the event happened to."""
        return str(getattr(self, self.key))


class EmptyReply(Schema):
    """A reply without fields."""


class Command(Schema):
    """A request of one service to another, `POST /internal/<name>`. Repeated with its key, it takes effect once."""

    name: ClassVar[str] = ""
    service: ClassVar[str] = ""
    callers: ClassVar[tuple[str, ...]] = ()
    """The services that may send the command; any other is rejected with 403."""
    timeout_s: ClassVar[float] = 1.0
    """Seconds that a caller waits for a reply."""
    read_only: ClassVar[bool] = False
    """Whether the command changes nothing; then it is repeated without a key."""
    errors: ClassVar[tuple[type[DomainError], ...]] = ()
    """The domain errors with which the service may reject the command."""
    Reply: ClassVar[type[Schema]] = EmptyReply

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        callers: tuple[str, ...] = (),
        timeout_s: float = 1.0,
        read_only: bool = False,
        errors: tuple[type[DomainError], ...] = (),
    ) -> None:
        _check_fields(cls, Command)
        cls.callers, cls.timeout_s, cls.read_only, cls.errors = callers, timeout_s, read_only, errors
        cls.name = name or re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        cls.service = owner_of(cls.__module__)


def _check_fields(message: type[Schema], base: type[Schema]) -> None:
    """Raise TypeError for a field whose name the base class uses: it would hide what the chassis reads there."""
    if taken := [name for name in get_annotations(message) if hasattr(base, name)]:
        raise TypeError(f"{message.__name__} cannot have a field named {taken[0]}: {base.__name__}.{taken[0]} exists")


def owner_of(module: str) -> str:
    """Return the name of the package that holds the module, of the module where it is in none."""
    package = module.rpartition(".")[0]
    return package.rpartition(".")[2] or module
