"""Import of a parsed catalog through `POST /api/products/imports`, in batches, with a report of each row."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from chassis.web.bodies import MAX_BODY_BYTES
from services.products import imports
from services.products.shopify import Catalog, Item, Refused, Skipped

PATH = "/api/products/imports"
_FIELD_MEANINGS = {"name": "title", "stock": "quantity", "description": "body", "category": "type"}


@dataclass
class Report:
    """The outcome of every row of a file. `stopped` says why the import ended early; empty if it did not."""

    catalog: Catalog
    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    imported: list[Item] = field(default_factory=list)
    stopped: str = ""

    @property
    def is_complete(self) -> bool:
        return not self.refused and not self.stopped

    @property
    def unpublished(self) -> list[Item]:
        """The imported products that are not for sale."""
        return [item for item in self.imported if item.unpublished]

    def data(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "rows": self.rows,
            **{outcome: self.outcomes[outcome] for outcome in ("created", "updated", "unchanged")},
            "unpublished": [
                {"line": item.line, "handle": item.handle, "reason": item.unpublished} for item in self.unpublished
            ],
            "refused": [row._asdict() for row in self.refused],
            "skipped": [row._asdict() for row in self.skipped],
            "notes": [
                *({"line": 1, "handle": "", "note": note} for note in self.catalog.notes),
                *(
                    {"line": item.line, "handle": item.handle, "note": note}
                    for item in self.imported
                    for note in item.notes
                ),
            ],
            "pictures": self.catalog.pictures,
            "controlCharacters": self.catalog.control_characters,
            "stopped": self.stopped,
        }


def import_catalog(
    catalog: Catalog,
    post: Callable[[str, Any], Any],
    request: dict[str, Any],
    post_error: type[Exception],
    advance: Callable[[int], None],
) -> Report:
    """Send the rows in order, and report them; `advance` is called with the number of rows that are done.

    `request` is the body without its items. If `post` raises `post_error`, the import stops; it can be repeated.
    """
    report = Report(catalog)
    max_bytes = MAX_BODY_BYTES - len(orjson.dumps({**request, "items": []}))
    for batch in _batches(catalog, report, max_bytes, advance):
        try:
            results = post(PATH, {**request, "items": [item.body for item in batch]})["items"]
        except (post_error, KeyboardInterrupt) as error:
            report.stopped = f"line {batch[0].line}: {str(error) or 'interrupted'}"
            break
        for item, result in zip(batch, results, strict=True):
            if result["outcome"] == "refused":
                report.refused.append(Refused(item.line, item.handle, _reason(result, catalog)))
            else:
                report.outcomes[result["outcome"]] += 1
                report.imported.append(item)
        report.rows += len(batch)
        advance(len(batch))
    report.refused.sort()
    return report


def _batches(catalog: Catalog, report: Report, max_bytes: int, advance: Callable[[int], None]) -> Iterator[list[Item]]:
    """Yield the products in batches that the route takes, and report the rows that are none."""
    batch: list[Item] = []
    size_bytes = 0
    for row in catalog.rows:
        if isinstance(row, Item):
            row_bytes = len(orjson.dumps(row.body)) + 1
            if row_bytes <= max_bytes:
                if len(batch) == imports.MAX_ROWS or size_bytes + row_bytes > max_bytes:
                    yield batch
                    batch, size_bytes = [], 0
                batch.append(row)
                size_bytes += row_bytes
                continue
            row = Refused(row.line, row.handle, f"is larger than {MAX_BODY_BYTES // 1024} KiB")
        if isinstance(row, Refused):
            report.refused.append(row)
        else:
            report.skipped.append(row)
        report.rows += 1
        advance(1)
    if batch:
        yield batch


def _reason(result: dict[str, str], catalog: Catalog) -> str:
    """Return why the shop refuses a row, with the column that the file has for the field."""
    name = result["field"].partition("[")[0]
    if not name:
        return result["reason"]
    return f"{catalog.columns.get(_FIELD_MEANINGS.get(name, name), name)}: {result['reason']}"
