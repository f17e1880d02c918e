"""Messages: what a service says happened (`Event`), and what it is asked to do by another (`Command`).

    class OrderShipped(Event, type="order.shipped", key="order_id"):
        order_id: Id

    class Reserve(Command, name="reserve"):
        order_id: Id
        lines: tuple[Line, ...]

        class Answer(Wire):
            expires_at: str

The service a message belongs to is the package that declares it. On the wire everything is camelCase.
"""

import re
import unicodedata
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel


class Wire(BaseModel):
    """Data as they travel: camelCase, exact types, frozen. Readers ignore fields they do not know."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, strict=True)

    @classmethod
    def read(cls, data: Any) -> Self:
        """From camelCase data. Raises pydantic's ValidationError."""
        return cls.model_validate(data, strict=False, by_alias=True, by_name=False)

    def data(self) -> dict[str, Any]:
        """As camelCase data."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _clean(text: str) -> str:
    """Refuse what no one types: control characters and lone surrogates; keep tab and new lines."""
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n\r" for char in text):
        raise ValueError("must not contain control characters")
    return text


Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Text = Annotated[str, AfterValidator(_clean)]


class Event(Wire):
    """Something that happened. `type` names it for ever, `key` is the field with the aggregate's id."""

    type: ClassVar[str]
    key: ClassVar[str]
    service: ClassVar[str]
    public: ClassVar[bool]
    erases: ClassVar[bool]

    def __init_subclass__(cls, *, type: str = "", key: str = "", public: bool = True, erases: bool = False) -> None:
        cls.type, cls.key, cls.public, cls.erases = type, key, public, erases
        cls.service = _owner(cls.__module__)

    @property
    def subject(self) -> str:
        """The id of the aggregate that it happened to."""
        return str(getattr(self, self.key))


class Nothing(Wire):
    """The answer that holds nothing."""


class Command(Wire):
    """A question or an order of one service to another, at `POST /internal/<name>`; safe to repeat with the same key."""

    name: ClassVar[str]
    service: ClassVar[str]
    Answer: ClassVar[type[Wire]] = Nothing

    def __init_subclass__(cls, *, name: str = "") -> None:
        cls.name = name or re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        cls.service = _owner(cls.__module__)


def _owner(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "services" and len(parts) > 1 else parts[0]
