"""A release with a changed command, event or saga, as its code would change: the gate passes what an upgrade can bear.

The changed release is made from classes like those of the platform, and both documents by the generators.
"""

from types import new_class
from typing import Annotated, Any, Literal

import pytest

from chassis.errors import DomainError, ErrorCategory
from chassis.messages import ANY_SERVICE, Command, Event
from chassis.sagas import Saga, Step
from chassis.sagas.driver import DUE_INDEX, Driver
from chassis.schema import Id, SagaData, Schema, growing
from chassis.service import Service
from chassis.store import Collection
from mercato.contracts import asyncapi, breaking, commands, sagas


def service(**declared: Any) -> Service:
    made = Service("inventory")
    for name, value in declared.items():
        setattr(made, name, value)
    return made


def command(fields: dict[str, Any], reply: dict[str, Any], **values: Any) -> Service:
    """Return a service that answers `confirm-stock` with these fields, of which `values` are defaults."""
    answer = type("Reply", (Schema,), {"__annotations__": reply, **{n: v for n, v in values.items() if n in reply}})
    own = {n: v for n, v in values.items() if n in fields}
    body = {"__annotations__": fields, "__module__": "services.inventory.messages", "Reply": answer, **own}
    made = new_class("ConfirmStock", (Command,), {"callers": ("orders",)}, lambda each: each.update(body))
    return service(commands={made: lambda _: None})


def event(fields: dict[str, Any], type: str = "stock.sold", key: str = "order_id", **values: Any) -> Service:
    """Return a service that publishes an event with these fields, of which `values` are defaults."""
    body = {"__annotations__": fields, "__module__": "services.inventory.messages", **values}
    return service(
        events=(new_class("StockSold", (Event,), {"type": type, "key": key}, lambda each: each.update(body)),)
    )


Size = Literal["s", "m"]


class Elsewhere(DomainError, category=ErrorCategory.CONFLICT):
    """The stock is at another site."""


def lookup(
    callers: tuple[str, ...] = ("orders",), read_only: bool = True, errors: Any = (), size: Any = Size
) -> Service:
    """Return a service that answers `find-stock`, to which these services may send a size."""
    body = {"__annotations__": {"size": size}, "__module__": "services.inventory.messages"}
    options = {"callers": callers, "read_only": read_only, "errors": errors}
    made = new_class("FindStock", (Command,), options, lambda each: each.update(body))
    return service(commands={made: lambda _: None})


LOOKUPS = {
    "command gone": (service(commands={}), False),
    "caller gone": (lookup(callers=("products",)), False),
    "caller added": (lookup(callers=("carts", "orders")), True),
    "any caller": (lookup(callers=(ANY_SERVICE,)), True),
    "no longer read-only": (lookup(read_only=False), False),
    "error added": (lookup(errors=(Elsewhere,)), True),
    "value that the release before does not know": (lookup(size=Literal["s", "m", "l"]), False),
    "value gone": (lookup(size=Literal["s"]), False),
    "any text": (lookup(size=str), False),
}


@pytest.mark.parametrize(("changed", "is_compatible"), LOOKUPS.values(), ids=LOOKUPS)
def test_changed_lookup(changed: Service, is_compatible: bool) -> None:
    found = breaking.changes(commands.document(lookup()), commands.document(changed))
    assert (found == []) is is_compatible, found


COMMAND = command({"order_id": Id, "note": str}, {"renew_after_ms": int}, note="")
COMMANDS = {
    "required field": (command({"order_id": Id, "note": str, "site": str}, {"renew_after_ms": int}, note=""), False),
    "optional field": (
        command({"order_id": Id, "note": str, "site": str}, {"renew_after_ms": int}, note="", site=""),
        True,
    ),
    "field gone that the release before needs": (command({"note": str}, {"renew_after_ms": int}, note=""), False),
    "optional field gone": (command({"order_id": Id}, {"renew_after_ms": int}), True),
    "field of another type": (command({"order_id": int, "note": str}, {"renew_after_ms": int}, note=""), False),
    "reply without a field": (command({"order_id": Id, "note": str}, {}, note=""), False),
    "reply with a field that callers need": (
        command({"order_id": Id, "note": str}, {"renew_after_ms": int, "units": int}, note=""),
        False,
    ),
    "reply with a field that callers do not need": (
        command({"order_id": Id, "note": str}, {"renew_after_ms": int, "units": int}, note="", units=0),
        True,
    ),
}


@pytest.mark.parametrize(("changed", "is_compatible"), COMMANDS.values(), ids=COMMANDS)
def test_changed_command(changed: Service, is_compatible: bool) -> None:
    found = breaking.changes(commands.document(COMMAND), commands.document(changed))
    assert (found == []) is is_compatible, found


Reason = Annotated[str, growing("sold", "returned")]
FIELDS = {"order_id": Id, "reason": Reason, "note": str | None}
EVENT = event(FIELDS, note=None)
EVENTS = {
    "event gone": (service(events=()), False),
    "event added": (service(events=EVENT.events + event(FIELDS, type="stock.lost", note=None).events), True),
    "another key": (event(FIELDS, key="reason", note=None), False),
    "required field": (event({**FIELDS, "site": str}, note=None), False),
    "optional field": (event({**FIELDS, "site": str | None}, note=None, site=None), True),
    "field gone": (event({"order_id": Id, "note": str | None}, note=None), False),
    "field of another type": (event({**FIELDS, "order_id": int}, note=None), False),
    "field that becomes required": (event({**FIELDS, "note": str}), False),
    "field that becomes optional": (event({**FIELDS, "reason": Reason | None}, note=None, reason=None), False),
    "new value": (event({**FIELDS, "reason": Annotated[str, growing("sold", "returned", "lost")]}, note=None), True),
    "value gone": (event({**FIELDS, "reason": Annotated[str, growing("sold")]}, note=None), False),
}


@pytest.mark.parametrize(("changed", "is_compatible"), EVENTS.values(), ids=EVENTS)
def test_changed_event(changed: Service, is_compatible: bool) -> None:
    found = breaking.changes(asyncapi.document(EVENT), asyncapi.document(changed))
    assert (found == []) is is_compatible, found


class Reserve(Command):
    order_id: str


class Release(Command):
    order_id: str


class Confirm(Command):
    order_id: str


class Data(SagaData):
    order_id: str
    currency: str = "EUR"


class DataWithRequired(Data):
    site: str


class DataWithOptional(Data):
    site: str = ""


class DataWithoutCurrency(SagaData):
    order_id: str


def local(data: dict[str, Any]) -> None: ...


RESERVE, CONFIRM, PLACE = Step("reserve", Reserve, Release), Step("confirm", Confirm), Step("place", local)


def buying(*steps: Step, **options: Any) -> Service:
    saga = Saga("buy", steps, **{"data": Data, **options})
    return service(drivers=[Driver(saga, Collection("sagas", DUE_INDEX), lambda: 10.0)])


def earlier() -> Saga:
    return Saga("buy", (RESERVE, CONFIRM), data=Data)


def other_saga() -> Service:
    return service(drivers=[Driver(Saga("give", (PLACE,), data=Data), Collection("gifts", DUE_INDEX), lambda: 10.0)])


SAGAS = {
    "step added": (buying(RESERVE, PLACE, CONFIRM), False),
    "step appended": (buying(RESERVE, CONFIRM, PLACE), False),
    "step gone": (buying(RESERVE), False),
    "step renamed": (buying(RESERVE, Step("finish", Confirm)), False),
    "steps in another order": (buying(CONFIRM, RESERVE), False),
    "another command": (buying(RESERVE, Step("confirm", Reserve)), False),
    "undo gone": (buying(Step("reserve", Reserve), CONFIRM), False),
    "undo added": (buying(RESERVE, Step("confirm", Confirm, Release)), True),
    "another time limit": (buying(RESERVE, Step("confirm", Confirm, time_limit_s=None)), True),
    "required data": (buying(RESERVE, CONFIRM, data=DataWithRequired), False),
    "optional data": (buying(RESERVE, CONFIRM, data=DataWithOptional), True),
    "data gone": (buying(RESERVE, CONFIRM, data=DataWithoutCurrency), True),
    "step added in a later version": (buying(RESERVE, PLACE, CONFIRM, version=2, earlier=(earlier(),)), True),
    "later version without the earlier one": (buying(RESERVE, PLACE, CONFIRM, version=2), False),
    "later version and other steps of the earlier one": (
        buying(RESERVE, PLACE, CONFIRM, version=2, earlier=(Saga("buy", (CONFIRM, RESERVE), data=Data),)),
        False,
    ),
    "command that became local": (buying(RESERVE, Step("confirm", local)), False),
    "saga gone": (service(drivers=[]), False),
    "another saga beside it": (service(drivers=[*buying(RESERVE, CONFIRM).drivers, *other_saga().drivers]), True),
}


@pytest.mark.parametrize(("changed", "is_compatible"), SAGAS.values(), ids=SAGAS)
def test_changed_saga(changed: Service, is_compatible: bool) -> None:
    found = breaking.changes(sagas.document(buying(RESERVE, CONFIRM)), sagas.document(changed))
    assert (found == []) is is_compatible, found


def test_command_that_needs_what_the_saga_does_not_have_is_refused_at_once() -> None:
    class ConfirmOfLater(Command, name="confirm"):
        order_id: str
        site: str

    for step in (Step("confirm", ConfirmOfLater), Step("confirm", Confirm, undo=ConfirmOfLater)):
        with pytest.raises(TypeError, match="confirm needs site, which the data of buy does not hold"):
            Saga("buy", (RESERVE, step), data=Data)
    Saga("buy", (RESERVE, Step("confirm", ConfirmOfLater)), data=DataWithOptional)


def test_command_finds_its_field_in_the_reply_of_an_earlier_step_but_its_undo_does_not() -> None:
    class Charge(Command):
        order_id: str

        class Reply(Schema):
            payment_id: str

    class Refund(Command):
        payment_id: str

    Saga("buy", (Step("charge", Charge), Step("keep", Refund)), data=Data)
    with pytest.raises(TypeError, match="charge needs payment_id"):
        Saga("buy", (Step("charge", Charge, Refund),), data=Data)
