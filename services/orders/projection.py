"""The read models of orders: the list and the timeline.

The list holds a summary of each order. It is written after each commit, and again by the worker, which consumes the
service's own events. An older state never overwrites a newer one.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from chassis.events.eventsourcing import fold
from chassis.messages import Event
from chassis.sagas import interventions
from chassis.store import Collection, Doc, Duplicate, Index
from services.orders import domain, repository
from services.orders.domain import Order

summaries = Collection("summaries", Index("userId"), Index("status"))


def refresh(id: str) -> None:
    """Update the summary of an order from its stream."""
    update_summary(repository.get(id))


def update_summary(order: Order) -> None:
    """Write the summary of an order, unless a newer one is stored."""
    summary = summary_of(order)
    fields = {name: value for name, value in summary.items() if name != "_id"}
    if summaries.update(order.id, {"$set": fields}, when={"version": {"$lt": order.version}}):
        return
    try:
        summaries.insert(summary)
    except Duplicate:
        pass  # the stored one is of this version or a newer one


def summary_of(order: Order) -> Doc:
    """Return the document that the list shows of an order."""
    fields: dict[str, Any] = asdict(order) | {"items": [item.data() for item in order.items]}
    summary = {_camel_case(name): value for name, value in fields.items() if name != "id"}
    return {"_id": order.id, **summary}


def timeline(id: str, saga: Doc | None) -> list[dict[str, str]]:
    """Return every event of an order and every step of its saga, oldest first."""
    entries = [
        {
            "time": commit.time,
            "type": commit.event.type,
            "step": "",
            "outcome": "",
            "detail": _detail(commit.event),
            "trace_id": commit.trace_id,
        }
        for commit in repository.streams.load(id)
    ]
    saga_trace_id = saga["traceparent"][3:35] if saga else ""
    for entry in saga["log"] if saga else []:
        detail = "" if entry["outcome"] in interventions.LOGGED else entry["detail"]  # not for the buyer
        step = {"step": entry["step"], "outcome": entry["outcome"], "detail": detail}
        entries.append({"time": entry["at"], "type": "saga.step", **step, "trace_id": saga_trace_id})
    return sorted(entries, key=lambda entry: entry["time"])


def rebuild() -> Iterator[tuple[str, Doc | None, Doc]]:
    """Rebuild the list from the streams; yield (order, stored summary, right summary) of each that differed."""
    for id in repository.streams.stream_ids():
        right = summary_of(fold(domain.NEW, repository.streams.load(id)))
        stored = summaries.get(id)
        if stored != right:
            yield id, stored, right
            summaries.delete(id)
            update_summary(repository.get(id))
    for stored in summaries.iterate():
        if not repository.streams.load(stored["_id"]):
            yield stored["_id"], stored, {}
            summaries.delete(stored["_id"])


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _detail(event: Event) -> str:
    return str(getattr(event, "reason", ""))
