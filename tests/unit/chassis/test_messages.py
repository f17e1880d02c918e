"""Messages belong to the package that declares them, and keep the names that the chassis reads for themselves."""

import pytest

from chassis.messages import Command, Event


@pytest.mark.parametrize(
    ("module", "owner"),
    [("services.orders.messages", "orders"), ("greetings.service", "greetings"), ("greetings", "greetings")],
)
def test_a_message_belongs_to_the_package_that_declares_it(module, owner) -> None:
    assert type("Greet", (Command,), {"__module__": module}).service == owner


@pytest.mark.parametrize("base", [Command, Event])
@pytest.mark.parametrize("name", ["service", "data", "read"])
def test_a_field_that_would_hide_a_name_of_the_chassis_is_refused(base, name) -> None:
    with pytest.raises(TypeError, match=f"cannot have a field named {name}"):
        type("Broken", (base,), {"__annotations__": {name: str}, "__module__": __name__})


def test_a_command_cannot_have_a_field_called_name_but_an_event_can() -> None:
    with pytest.raises(TypeError, match="cannot have a field named name"):

        class Rename(Command):
            name: str

    class Renamed(Event, type="guest.renamed", key="guest_id"):
        guest_id: str
        name: str

    assert Renamed(guest_id="g1", name="Ada").subject == "g1"
