"""The streams of orders, and what is read from them: one order, the list, the timeline.

The list is a read model: a summary of each order's fold, written behind each commit and again by the worker, which
takes in the service's own events; an older fold never overwrites a newer one.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from chassis.errors import NotFound
from chassis.events.eventsourcing import Streams, fold
from chassis.messages import Event
from chassis.observe import trace
from chassis.store import Collection, Doc, Duplicate, Index
from services.orders import domain, metrics
from services.orders.domain import Order

streams = Streams("streams", *domain.EVENTS, *domain.INTERNAL)
summaries = Collection("summaries", Index("userId"), Index("status"))


def decide(id: str, decision: Callable[[Order], Event | None], mark: str = "") -> Order:
    """Commit what is decided of an order, and show it in the list."""
    trace.about(orderId=id)
    order = streams.execute(id, domain.NEW, decision, mark, metrics.count)
    if order.status:
        _summarize(order)
    return order


def get(id: str) -> Order:
    """Raises NotFound."""
    trace.about(orderId=id)
    order = fold(domain.NEW, streams.load(id))
    if not order.status:
        raise NotFound("order")
    return order


def project(id: str) -> None:
    """Bring the summary of an order up to its stream."""
    _summarize(get(id))


def timeline(id: str, saga: Doc | None) -> list[dict[str, str]]:
    """Every event of an order and every step of its saga, in the order of time."""
    entries = [
        {"time": commit.time, "type": commit.event.type, "step": "", "outcome": "", "detail": _detail(commit.event)}
        for commit in streams.load(id)
    ]
    for line in saga["log"] if saga else []:
        step = {"step": line["step"], "outcome": line["outcome"], "detail": line["detail"]}
        entries.append({"time": line["at"], "type": "saga.step", **step})
    return sorted(entries, key=lambda entry: entry["time"])


def replay() -> Iterator[tuple[str, Doc | None, Doc]]:
    """Fold every stream anew; (order, summary as it was, summary as it must be) of each that differed, now mended."""
    for id in streams.streams():
        right = summary_of(fold(domain.NEW, streams.load(id)))
        kept = summaries.get(id)
        if kept != right:
            yield id, kept, right
            summaries.delete(id)
            _summarize(get(id))
    for kept in summaries.every():
        if not streams.load(kept["_id"]):
            yield kept["_id"], kept, {}
            summaries.delete(kept["_id"])


def summary_of(order: Order) -> Doc:
    """The order as the list shows it."""
    fields: dict[str, Any] = asdict(order) | {"items": [item.data() for item in order.items]}
    summary = {_camel(name): value for name, value in fields.items() if name != "id"}
    return {"_id": order.id, **summary}


def _summarize(order: Order) -> None:
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
