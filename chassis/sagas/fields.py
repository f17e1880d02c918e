"""The check that the commands of a saga find their fields in its data: without them, sagas would be blocked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from chassis.messages import Command
from chassis.schema import SagaData

if TYPE_CHECKING:
    from chassis.sagas import Step


def check_fields(saga: str, steps: "tuple[Step, ...]", data: type[SagaData]) -> None:
    """Raise TypeError if a command needs a field that is neither in the data nor in the reply of an earlier step.

    An `undo` may run although its `do` has not replied.
    """
    known = {*data.model_fields}
    for step in steps:
        for action, also in ((step.do, set()), (step.heartbeat_command, set()), (step.undo, {"reason"})):
            if lacking := [name for name in _required(action) if name not in known | also]:
                raise TypeError(f"{step.name} needs {', '.join(lacking)}, which the data of {saga} does not hold")
        if isinstance(step.do, type) and issubclass(step.do, Command):
            known |= {*step.do.Reply.model_fields}


def _required(action: Any) -> Iterator[str]:
    if isinstance(action, type) and issubclass(action, Command):
        yield from (name for name, field in action.model_fields.items() if field.is_required())
