"""The sagas of one driver, as an operator sees them: each with its step, and the service that carries it out."""

from collections.abc import Iterator
from dataclasses import dataclass

from chassis import clock
from chassis.errors import NotFound
from chassis.messages import owner_of
from chassis.operations import Row, ids_with_prefix
from chassis.sagas import Action, Saga, interventions
from chassis.sagas.driver import Driver
from chassis.sagas.interventions import Intervention
from chassis.store import Doc

LATER = "a step of a later release"

_INTERVENTIONS: dict[str, Intervention] = {
    "retried": interventions.retry,
    "aborted": interventions.abort,
    "skipped": interventions.skip,
}


@dataclass(frozen=True)
class Selection:
    """Which sagas to list: all that match every field."""

    ended: bool = False
    """Include the sagas that have ended."""
    blocked: bool = False
    """Only those that wait for an operator."""
    waiting: bool = False
    """Only those that wait for a person, such as a buyer who has to confirm the payment."""
    undoing: bool = False
    """Only those that are being compensated, or were."""
    step: str = ""
    """Only those at this step, forward or in compensation."""
    min_age_s: float = 0.0
    """Only those that were opened so many seconds ago, or earlier."""

    def matches(self, doc: Doc, step: str) -> bool:
        """Whether a saga at this step is to be listed."""
        return (
            (not self.blocked or bool(doc.get("blocked")))
            and (not self.waiting or _waiting_until(doc) != "")
            and (not self.undoing or doc["undoing"])
            and self.step in ("", step)
            and (not self.min_age_s or clock.seconds_since(doc["openedAt"]) >= self.min_age_s)
        )


class Sagas:
    """The sagas of one driver, in its store."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def steps(self) -> list[str]:
        """Return the names of all steps, also of earlier versions."""
        saga = self._driver.saga
        return list(dict.fromkeys(step.name for each in (saga, *saga.earlier) for step in each.steps))

    def find(self, selection: Selection) -> Iterator[Row]:
        """Yield the selected sagas, in the order of their ids."""
        for doc in self._driver.collection.iterate(None if selection.ended else {"open": True}):
            row = self._row(doc)
            if selection.matches(doc, row["step"]):
                yield row

    def ids(self, prefix: str) -> list[str]:
        """Return the ids that begin with this text: see `ids_with_prefix`."""
        return ids_with_prefix(self._driver.collection, prefix)

    def show(self, id: str) -> Row:
        """Return a saga as it is stored, with the names and the services of its steps, without its secrets.

        Raises NotFound.
        """
        doc = self._driver.collection.get(id)
        if doc is None:
            raise NotFound("saga")
        data = {name: value for name, value in doc["data"].items() if name not in self._driver.saga.secrets}
        row = self._row(doc)
        steps = _steps(self._driver.find_definition(doc), doc)
        return {
            **doc,
            "data": data,
            "at": row["at"],
            "service": row["service"],
            "waitingUntil": row["waitingUntil"],
            "steps": steps,
        }

    def intervene(self, id: str, outcome: str, reason: str) -> None:
        """Have a saga "retried", "aborted" or "skipped"; its log keeps the reason.

        Raises NotFound, and the errors of `chassis.sagas.interventions`.
        """
        interventions.intervene(self._driver, id, _INTERVENTIONS[outcome], outcome, reason)

    def _row(self, doc: Doc) -> Row:
        saga = self._driver.find_definition(doc)
        step, service = LATER, ""
        if saga:
            step = saga.steps[doc["step"]].name
            service = "" if doc["ended"] else _service(saga, doc["step"], doc["undoing"])
        return {
            "saga": doc["saga"],
            "id": doc["_id"],
            "at": doc["ended"] or (f"undo {step}" if doc["undoing"] else step),
            "step": step,
            "service": service,
            "attempts": doc["attempts"],
            "openedAt": doc["openedAt"],
            "reason": (doc["reason"] or {}).get("kind", ""),
            "blocked": doc.get("blocked", False),
            "waitingUntil": _waiting_until(doc),
        }


def _waiting_until(doc: Doc) -> str:
    """Return until when a saga waits for a person, "" if it does not."""
    waits = doc["open"] and not doc["undoing"] and doc.get("waiting")
    return str(waits["until"]) if waits else ""


def _steps(saga: Saga | None, doc: Doc) -> list[Row]:
    """Return each step with its service and what the log has last of it; the outcome is "" before it begins."""
    last = {entry["step"]: entry for entry in doc["log"]}
    found: list[Row] = []
    for number, step in enumerate(saga.steps if saga else ()):
        entry = last.get(step.name, {})
        row: Row = {"step": step.name, "service": _service(saga, number, undoing=False) if saga else ""}
        found.append(row | {name: entry.get(name, "") for name in ("outcome", "times", "at", "detail")})
    return found


def _service(saga: Saga, number: int, undoing: bool) -> str:
    """Return the service that carries out a step, or its compensation."""
    step = saga.steps[number]
    action: Action = (step.undo if undoing else None) or step.do
    return owner_of(action.__module__)
