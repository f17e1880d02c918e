"""Bringing a file's products into the catalog: what is not there is made, what differs is changed, row by row."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chassis import clock
from chassis.errors import DomainError, TransientError
from services.products import application, repository
from services.products.shopify import Item, Refused


class Deleted(DomainError):
    """The product was deleted before."""

    def __init__(self) -> None:
        super().__init__("was deleted from the catalog, and its id is not used again")


@dataclass
class Report:
    """What became of the rows. `stopped` says why the rest of them was left; it is empty when all were gone through."""

    outcomes: dict[str, int] = field(default_factory=lambda: {"created": 0, "changed": 0, "unchanged": 0})
    refused: list[Refused] = field(default_factory=list)
    stopped: str = ""

    @property
    def whole(self) -> bool:
        return not self.refused and not self.stopped

    def data(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**self.outcomes, "refused": [row._asdict() for row in self.refused], "stopped": self.stopped}


def import_rows(rows: Iterable[Item | Refused]) -> Report:
    """Each product can be ordered as soon as the next row is asked for."""
    report = Report()
    for row in rows:
        if isinstance(row, Refused):
            report.refused.append(row)
            continue
        try:
            report.outcomes[_bring_in(row)] += 1
        except DomainError as refusal:
            report.refused.append(Refused(row.line, row.id, str(refusal)))
        except TransientError as trouble:
            report.stopped = f"line {row.line}: {trouble}"
            break
    return report


def _bring_in(item: Item) -> str:
    """Make the product or change what differs, but never its stock. Raises DomainError, TransientError."""
    kept = repository.products.get(item.id)
    if kept is None:
        application.create(item.id, item.name, item.price, item.stock, item.description or "", item.category or "")
        return "created"
    if kept["deleted"]:
        raise Deleted
    said: dict[str, Any] = {
        "name": item.name,
        "price": item.price.minor,
        "currency": item.price.currency,
        "description": item.description,
        "category": item.category,
    }
    differing = {name: value for name, value in said.items() if value is not None and value != kept[name]}
    if not differing:
        return "unchanged"
    application.change(item.id, differing | {"price": str(item.price)}, None, clock.new_id())
    return "changed"
