"""The read models of orders: the list and the timeline.

The list holds a summary of each order. It is written after each commit, and again by the worker, which consumes the
service's own events. An older state never overwrites a newer one.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from chassis.events.eventsourcing import fold
from chassis.messages import Event
from chassis.store import Collection, Doc, Duplicate, Index
from services.orders import domain, repository
from services.orders.domain import Order

summaries = Collection("summaries", Index("userId"), Index("status"))


def refresh(id: str) -> None:
    """Bring the summary of an order up to its stream."""
    update_summary(repository.get(id))


def timeline(id: str, saga: Doc | None) -> list[dict[str, str]]:
    """Every event of an order and every step of its saga, in the order of time."""
    entries = [
        {"time": commit.time, "type": commit.event.type, "step": "", "outcome": "", "detail": _detail(commit.event)}
        for commit in repository.streams.load(id)
    ]
    for line in saga["log"] if saga else []:
        step = {"step": line["step"], "outcome": line["outcome"], "detail": line["detail"]}
        entries.append({"time": line["at"], "type": "saga.step", **step})
    return sorted(entries, key=lambda entry: entry["time"])


def rebuild() -> Iterator[tuple[str, Doc | None, Doc]]:
    """Fold every stream anew; (order, summary as it was, summary as it must be) of each that differed, now mended."""
    for id in repository.streams.stream_ids():
        right = summary_of(fold(domain.NEW, repository.streams.load(id)))
        kept = summaries.get(id)
        if kept != right:
            yield id, kept, right
            summaries.delete(id)
            update_summary(repository.get(id))
    for kept in summaries.iterate():
        if not repository.streams.load(kept["_id"]):
            yield kept["_id"], kept, {}
            summaries.delete(kept["_id"])


def summary_of(order: Order) -> Doc:
    """The order as the list shows it."""
    fields: dict[str, Any] = asdict(order) | {"items": [item.data() for item in order.items]}
    summary = {_camel(name): value for name, value in fields.items() if name != "id"}
    return {"_id": order.id, **summary}


def update_summary(order: Order) -> None:
    summary = summary_of(order)
    fields = {name: value for name, value in summary.items() if name != "_id"}
    if summaries.update(order.id, {"$set": fields}, when={"version": {"$lt": order.version}}):
        return
    try:
        summaries.insert(summary)
    except Duplicate:
        pass  # it is as new as this, or newer


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def _detail(event: Event) -> str:
    return str(getattr(event, "reason", ""))
