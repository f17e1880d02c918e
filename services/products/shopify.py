"""Parser of the product CSV that Shopify exports; each variant becomes a product.

    Handle     Title      Option1 Value  Variant Price  Variant Inventory Qty
    camp-mug   Camp mug   Small          12.90          40                      -> camp-mug        Camp mug - Small
    camp-mug              Large          14.90          -3                      -> camp-mug_large  Camp mug - Large, 0
    camp-mug                                                                    another picture: no product

The first row of a handle gives the title, text and type of the rows below it. A negative quantity means that more was
sold than was in stock: it is imported as 0, as is an empty one. Other columns are ignored.
"""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from chassis.money import Money
from chassis.schema import ID, Id
from services.products import domain
from services.products.html import plain_text

REQUIRED = ("Handle", "Title", "Variant Price")
OPTIONS = ("Option1 Value", "Option2 Value", "Option3 Value")
NO_OPTION = "Default Title"
"""The option value of a product without variants."""
_HASH_LENGTH = 12
_MAX_ID_LENGTH = 64

Row = dict[str, str]


class Item(BaseModel):
    """A product, and the line on which it starts. A field without a column in the file is None."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    line: int
    id: Id
    name: domain.Name
    price: Money
    stock: domain.Stock
    description: domain.Description | None
    category: domain.Category | None


class Refused(NamedTuple):
    """A row that is not imported, the line on which it starts, and the reason."""

    line: int
    handle: str
    reason: str


def parse(text: str, currency: str) -> Iterator[Item | Refused]:
    """Yield each product of the file, or the reason why a row is none. Raises ValueError if a column is missing."""
    rows = _rows(text)
    _, header = next(rows, (1, []))
    if not isinstance(header, list):
        raise ValueError(f"line 1: {header}")
    names = [name.strip() for name in header]
    if missing := [name for name in REQUIRED if name not in names]:
        raise ValueError(f"there is no column {', '.join(missing)}: this is not a product CSV of Shopify")
    return _items(names, rows, currency)


def _items(names: list[str], rows: Iterator[tuple[int, list[str] | str]], currency: str) -> Iterator[Item | Refused]:
    first_rows: dict[str, Row] = {}
    lines_by_id: dict[str, int] = {}
    for line, cells in rows:
        if isinstance(cells, str):
            yield Refused(line, "", cells)
            continue
        row = dict.fromkeys(names, "") | dict(zip(names, (cell.strip() for cell in cells), strict=False))
        handle = row["Handle"]
        try:
            if any(cells[len(names) :]):
                raise ValueError("has more cells than the header has columns")
            if not handle:
                raise ValueError("Handle: empty")
            first = first_rows.setdefault(handle, row)
            if row["Variant Price"]:
                yield _item(line, row, first, lines_by_id, currency)
            elif row is first and row["Title"]:
                raise ValueError("Variant Price: empty")
        except ValueError as error:
            yield Refused(line, handle, _reason(error))


def _item(line: int, row: Row, first: Row, lines_by_id: dict[str, int], currency: str) -> Item:
    """Make a product of a row; `lines_by_id` holds the ids so far. Raises ValueError."""
    options = [value for name in OPTIONS if (value := row.get(name)) and value != NO_OPTION]
    variant_id = product_id(row["Handle"], options)
    id = product_id(row["Handle"]) if row is first else variant_id
    for name in (id, variant_id):
        if name in lines_by_id:
            raise ValueError(f"is the same product as line {lines_by_id[name]}: {id}")
    lines_by_id |= {id: line, variant_id: line}
    title = row["Title"] or first["Title"]
    if not title:
        raise ValueError("Title: empty")
    body, category = (row.get(name) or first.get(name) for name in ("Body (HTML)", "Type"))
    return Item(
        line=line,
        id=id,
        name=_one_line(f"{title} - {' / '.join(options)}" if options else title),
        price=_price(row["Variant Price"], currency),
        stock=_stock(row.get("Variant Inventory Qty", "")),
        description=None if body is None else _plain_text(body),
        category=None if category is None else _one_line(category),
    )


def product_id(handle: str, options: Sequence[str] = ()) -> str:
    """Return the handle joined with the options; if that is no valid id, a shortened form with a hash.

    A handle contains no underscore, so the product mug-red differs from the red variant of the product mug.
    """
    full = "_".join((handle, *(option.casefold().replace(" ", "-") for option in options)))
    if ID.fullmatch(full):
        return full
    folded = unicodedata.normalize("NFKD", full).encode("ascii", "ignore").decode().lower()
    readable = re.sub("[^a-z0-9_-]+", "-", folded)[: _MAX_ID_LENGTH - _HASH_LENGTH - 1].strip("-_")
    digest = hashlib.sha256(full.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{readable}-{digest}" if readable else digest


def _rows(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield the start line and the cells of each row that is not blank, or the reason why it cannot be read."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"cannot be read: {error}"
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells


def _price(amount: str, currency: str) -> Money:
    try:
        return Money.parse(amount, currency)
    except ValueError as error:
        raise ValueError(f"Variant Price: {error}") from None


def _stock(quantity: str) -> int:
    if not re.fullmatch("-?[0-9]{1,12}", quantity or "0"):
        raise ValueError("Variant Inventory Qty: not an integer")
    return max(0, int(quantity or 0))


def _plain_text(html: str) -> str:
    try:
        return plain_text(html)
    except ValueError as error:
        raise ValueError(f"Body (HTML): {error}") from None


def _one_line(text: str) -> str:
    return " ".join(text.split())


_COLUMNS = {
    "id": "Handle",
    "name": "Title",
    "stock": "Variant Inventory Qty",
    "description": "Body (HTML)",
    "category": "Type",
}


def _reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{_COLUMNS[str(first['loc'][0])]}: {first['msg'].removeprefix('Value error, ')}"
