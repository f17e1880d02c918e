"""Import of products, row by row: create a missing product, change one that differs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chassis import clock
from chassis.errors import DomainError, TransientError
from services.products import application, repository
from services.products.shopify import Item, Refused


class DeletedProduct(DomainError):
    """The catalog deleted the product before."""

    def __init__(self) -> None:
        super().__init__("was deleted from the catalog; its id cannot be used again")


@dataclass
class Report:
    """The outcomes of an import. `stopped` says why it did not reach the last row; empty if it did."""

    outcomes: dict[str, int] = field(default_factory=lambda: {"created": 0, "changed": 0, "unchanged": 0})
    refused: list[Refused] = field(default_factory=list)
    stopped: str = ""

    @property
    def is_complete(self) -> bool:
        return not self.refused and not self.stopped

    def data(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {**self.outcomes, "refused": [row._asdict() for row in self.refused], "stopped": self.stopped}


def import_rows(rows: Iterable[Item | Refused]) -> Report:
    """Import the rows in order; a product can be ordered as soon as the next row is read."""
    report = Report()
    for row in rows:
        if isinstance(row, Refused):
            report.refused.append(row)
            continue
        try:
            report.outcomes[_import_item(row)] += 1
        except DomainError as error:
            report.refused.append(Refused(row.line, row.id, str(error)))
        except TransientError as error:
            report.stopped = f"line {row.line}: {error}"
            break
    return report


def _import_item(item: Item) -> str:
    """Create a product or change what differs, but never its stock; return the outcome.

    Raises DomainError, TransientError.
    """
    stored = repository.products.get(item.id)
    if stored is None:
        application.create(item.id, item.name, item.price, item.stock, item.description or "", item.category or "")
        return "created"
    if stored["deleted"]:
        raise DeletedProduct
    wanted: dict[str, Any] = {
        "name": item.name,
        "price": item.price.minor,
        "currency": item.price.currency,
        "description": item.description,
        "category": item.category,
    }
    differing = {name: value for name, value in wanted.items() if value is not None and value != stored[name]}
    if not differing:
        return "unchanged"
    application.change(item.id, differing | {"price": str(item.price)}, None, clock.new_id())
    return "changed"
