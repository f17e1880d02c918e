"""The gauges of sagas: how many are open, blocked, stuck, or wait for a person, and the oldest age, by step."""

from collections import Counter

from chassis.observe import metrics
from chassis.sagas import STUCK_ATTEMPTS, Saga
from chassis.sagas.waiting import age_s
from chassis.store import MAX_PAGE_SIZE, Collection, cursor_after


class Gauges:
    """The gauges of one kind of saga. A step that was exported once is exported from then on, to return to 0."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga
        self._steps = {step.name for each in (saga, *saga.earlier) for step in each.steps}

    def export(self, collection: Collection) -> None:
        """Count the open sagas, and export the counts."""
        ages_s: dict[str, list[float]] = {name: [] for name in self._steps}
        blocked, waiting, stuck, after = Counter[str](), Counter[str](), 0, None
        while page := collection.find({"open": True}, sort="due", limit=MAX_PAGE_SIZE, after=after):
            for doc in page:
                definition = self._saga.of_version(doc.get("sagaVersion", 1))
                step = definition.steps[doc["step"]].name if definition else ""  # a step of a later release
                ages_s.setdefault(step, []).append(age_s(doc))
                blocked[step] += doc.get("blocked", False)
                waiting[step] += bool(doc.get("waiting"))
                stuck += doc["undoing"] and doc["attempts"] >= STUCK_ATTEMPTS
            after = cursor_after(page, "due")
        self._steps |= ages_s.keys()
        name = self._saga.name
        for step, of_step in ages_s.items():
            metrics.sagas_open[name, step].set(len(of_step))
            metrics.saga_oldest[name, step].set(max(of_step, default=0.0))
            metrics.sagas_waiting[name, step].set(waiting[step])
            metrics.sagas_blocked[name, step].set(blocked[step])
        metrics.sagas_stuck[name].set(stuck)
