"""The product CSV that Shopify exports, read into products: each variant is a product of its own.

    Handle     Title      Option1 Value  Variant Price  Variant Inventory Qty
    camp-mug   Camp mug   Small          12.90          40                      -> camp-mug        Camp mug - Small
    camp-mug              Large          14.90          -3                      -> camp-mug_large  Camp mug - Large, 0
    camp-mug                                                                    a further picture: no product

The first row of a handle gives the title, text and type of those below it. Shopify counts what is sold beyond the
stock as negative: nothing of it can be bought, so that is a stock of 0, as is none at all. Other columns are ignored.
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
"""What Shopify writes where a product has no variants."""
_HASHED = 12
_LONGEST = 64

Row = dict[str, str]


class Item(BaseModel):
    """A product and the line it began on. What the file has no column for is None."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    line: int
    id: Id
    name: domain.Name
    price: Money
    stock: domain.Stock
    description: domain.Description | None
    category: domain.Category | None


class Refused(NamedTuple):
    """A row that is no product, by the line it began on."""

    line: int
    handle: str
    reason: str


def parse(text: str, currency: str) -> Iterator[Item | Refused]:
    """Each product of the file or why it is none, in order. Raises ValueError where the columns are not Shopify's."""
    rows = _rows(text)
    _, header = next(rows, (1, []))
    if not isinstance(header, list):
        raise ValueError(f"line 1: {header}")
    names = [name.strip() for name in header]
    if missing := [name for name in REQUIRED if name not in names]:
        raise ValueError(f"there is no column {', '.join(missing)}: this is not a product CSV as Shopify exports it")
    return _items(names, rows, currency)


def _items(names: list[str], rows: Iterator[tuple[int, list[str] | str]], currency: str) -> Iterator[Item | Refused]:
    firsts: dict[str, Row] = {}
    taken: dict[str, int] = {}
    for line, cells in rows:
        if isinstance(cells, str):
            yield Refused(line, "", cells)
            continue
        row = dict.fromkeys(names, "") | dict(zip(names, (cell.strip() for cell in cells), strict=False))
        handle = row["Handle"]
        try:
            if any(cells[len(names) :]):
                raise ValueError("has more cells than the first line has columns")
            if not handle:
                raise ValueError("Handle: empty")
            first = firsts.setdefault(handle, row)
            if row["Variant Price"]:
                yield _item(line, row, first, taken, currency)
            elif row is first and row["Title"]:
                raise ValueError("Variant Price: empty")
        except ValueError as error:
            yield Refused(line, handle, _reason(error))


def _item(line: int, row: Row, first: Row, taken: dict[str, int], currency: str) -> Item:
    """`taken` holds the line of each id so far. Raises ValueError."""
    options = [value for name in OPTIONS if (value := row.get(name)) and value != NO_OPTION]
    own = product_id(row["Handle"], options)
    id = product_id(row["Handle"]) if row is first else own
    for name in (id, own):
        if name in taken:
            raise ValueError(f"is the same product as line {taken[name]}: {id}")
    taken |= {id: line, own: line}
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
        description=None if body is None else _plain(body),
        category=None if category is None else _one_line(category),
    )


def product_id(handle: str, options: Sequence[str] = ()) -> str:
    """The handle and the options, as they are where they make an id, else shortened and with a hash of the whole.

    Handles hold no underscore, so that the product mug-red is never the red variant of the product mug.
    """
    whole = "_".join((handle, *(option.casefold().replace(" ", "-") for option in options)))
    if ID.fullmatch(whole):
        return whole
    folded = unicodedata.normalize("NFKD", whole).encode("ascii", "ignore").decode().lower()
    readable = re.sub("[^a-z0-9_-]+", "-", folded)[: _LONGEST - _HASHED - 1].strip("-_")
    digest = hashlib.sha256(whole.encode(errors="surrogatepass")).hexdigest()[:_HASHED]
    return f"{readable}-{digest}" if readable else digest


def _rows(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """(line it began on, cells, or why it cannot be read) of each row that is not blank."""
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
        raise ValueError("Variant Inventory Qty: not a whole number")
    return max(0, int(quantity or 0))


def _plain(html: str) -> str:
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
