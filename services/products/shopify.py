"""Parser of the product CSV that Shopify exports, of its present template and of the one before.

    Handle     Title      Option1 Value  Variant Price  Variant Inventory Qty
    camp-mug   Camp mug   Small          12.90          40                      -> camp-mug        Camp mug - Small
    camp-mug              Large          14.90          -3                      -> camp-mug_large  Camp mug - Large, 0
    camp-mug                                                                    another picture: no product

Each variant becomes a product. The first row of a handle with a title gives the title, text, vendor, type, tags and
status of all. A negative quantity means that more was sold than was in stock: it is imported as 0, as is an empty one.
A product that is not for sale there is imported unpublished.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.products import domain, spreadsheet
from services.products.html import plain_text
from services.products.product_ids import ProductIds

COLUMNS = {
    "handle": ("Handle", "URL handle"),
    "title": ("Title",),
    "body": ("Body (HTML)", "Description"),
    "vendor": ("Vendor",),
    "type": ("Type", "Custom Product Type"),
    "tags": ("Tags",),
    "published": ("Published", "Published on online store"),
    "status": ("Status",),
    "gift_card": ("Gift Card",),
    "option1": ("Option1 Value",),
    "option2": ("Option2 Value",),
    "option3": ("Option3 Value",),
    "sku": ("Variant SKU", "SKU"),
    "price": ("Variant Price", "Price"),
    "quantity": ("Variant Inventory Qty", "Inventory quantity"),
    "tracker": ("Variant Inventory Tracker", "Inventory tracker"),
    "policy": ("Variant Inventory Policy", "Continue selling when out of stock"),
    "picture": ("Image Src", "Product image URL"),
    "alt": ("Image Alt Text",),
    "variant_picture": ("Variant Image", "Variant image URL"),
}
"""Meaning -> the names of the column that has it; other columns are ignored."""
_MEANINGS = {name.lower(): meaning for meaning, names in COLUMNS.items() for name in names}
_REQUIRED = ("handle", "title", "price")
_OPTIONS = ("option1", "option2", "option3")
_VARIANT = (*_OPTIONS, "sku", "price", "quantity")
"""A row with a value in one of these is a variant."""
_TEXTS = frozenset({"title", "body", "vendor", "type", "tags", "alt", *_OPTIONS})
NO_OPTION = "Default Title"
"""The option value of a product without variants."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_CHARACTER_REFERENCE = re.compile(r"&#(?:x([0-9a-f]{1,6})|([0-9]{1,7}));?", re.IGNORECASE)

_DECIMAL_COMMA = re.compile(r"^([0-9]+),([0-9]{1,2})$")
"""A comma before one or two digits; before three it could be one of thousands."""

_FILE = re.compile(r"([\w-]+/)*[\w-]+\.(jpe?g|png|webp)", re.ASCII | re.IGNORECASE)

ONLY_PICTURE = "only a picture"
NO_VARIANT = "neither a variant nor a picture"
UNTRACKED = "not tracked there, so never sold out; here the stock is the quantity of the file, 0 if it has none"
CONTINUED = "sold there when out of stock; here the sale ends with the stock"
UNLIMITED = "never sold out there; here the stock is that of --unlimited"
NO_URL = "a picture is left out: it is neither an http or https URL nor a file beside this one"
SHORTENED = f"name shortened to {domain.MAX_NAME_CHARS} characters"


@dataclass
class Item:
    """A product as the import route takes it; `unpublished` says why it is not for sale, "" if it is.

    `files` are pictures beside the file, each with its description.
    """

    line: int
    handle: str
    body: dict[str, Any]
    unpublished: str = ""
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


class Refused(NamedTuple):
    """A row that is not imported, the line on which it starts, and the reason."""

    line: int
    handle: str
    reason: str


class Skipped(NamedTuple):
    """A row that holds no product, the line on which it starts, and what it is."""

    line: int
    handle: str
    reason: str


@dataclass
class Catalog:
    """The rows of a file in order, and notes about the whole file; `columns` has the names that it uses."""

    columns: dict[str, str]
    rows: list[Item | Refused | Skipped] = field(default_factory=list)
    pictures: int = 0
    control_characters: int = 0

    @property
    def notes(self) -> list[str]:
        """The notes about the whole file."""
        if "quantity" in self.columns:
            return []
        before, present = COLUMNS["quantity"]
        name = before if self.columns["handle"].lower() == "handle" else present
        return [f"there is no column {name}: new products have a stock of 0, others keep theirs"]


def parse(text: str, unlimited: int | None = None) -> Catalog:
    """Return the products of the file, and the reason for each row that is none.

    `unlimited` is the stock of what never sells out there; by default it has the quantity of the file.
    Raises ValueError if a column is missing or there twice.
    """
    rows = spreadsheet.read_rows(text, _MEANINGS.keys())
    line, header = next(rows, (1, []))
    if not isinstance(header, list):
        raise ValueError(f"line {line}: {header}")
    meanings = [_MEANINGS.get(_plain(name).lower(), "") for name in header]
    catalog = Catalog(_columns(header, meanings))
    return _Reader(catalog, meanings, unlimited).read(list(rows))


def _columns(header: list[str], meanings: list[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for name, meaning in zip(map(_plain, header), meanings, strict=True):
        if meaning in columns:
            names = dict.fromkeys((columns[meaning], name))
            raise ValueError(f"there are two columns {' and '.join(names)}: delete the wrong one")
        if meaning:
            columns[meaning] = name
    if missing := [COLUMNS[meaning][0] for meaning in _REQUIRED if meaning not in columns]:
        raise ValueError(f"there is no column {', '.join(missing)}: this is not a product CSV of Shopify")
    return columns


@dataclass
class _Row:
    line: int
    cells: Mapping[str, str]
    control_characters: int

    def __getitem__(self, meaning: str) -> str:
        return self.cells.get(meaning, "")


class _Reader:
    def __init__(self, catalog: Catalog, meanings: list[str], unlimited: int | None) -> None:
        self._catalog, self._meanings, self._unlimited = catalog, meanings, unlimited
        self._texts: dict[str, str] = {}
        self._pictures: dict[str, list[tuple[str, str]]] = {}
        """The pictures of a product, by its handle: (URL, description)."""

    def read(self, rows: list[spreadsheet.Row]) -> Catalog:
        readable = {line: self._row(line, cells) for line, cells in rows if isinstance(cells, list)}
        heads: dict[str, _Row] = {}
        for row in readable.values():
            if row["handle"] and (row["handle"] not in heads or (row["title"] and not heads[row["handle"]]["title"])):
                heads[row["handle"]] = row
        self._ids = ProductIds(heads)
        for row in readable.values():
            if row["picture"]:
                self._pictures.setdefault(row["handle"], []).append((row["picture"], _one_line(row["alt"])))
        for line, cells in rows:
            if isinstance(cells, str):
                self._catalog.rows.append(Refused(line, "", cells))
            else:
                row = readable[line]
                try:
                    if any(cell.strip() for cell in cells[len(self._meanings) :]):
                        raise ValueError("has more cells than the header has columns")
                    self._catalog.rows.append(self._read_row(row, heads.get(row["handle"], row)))
                except ValueError as error:
                    self._catalog.rows.append(Refused(line, row["handle"], str(error)))
        return self._catalog

    def _row(self, line: int, cells: list[str]) -> _Row:
        found, count = {}, 0
        for meaning, cell in zip(self._meanings, cells, strict=False):
            if meaning:
                text, removed = _CONTROL_CHARACTERS.subn("", cell)
                found[meaning] = text.strip() if meaning in _TEXTS else _plain(text)
                count += removed
        return _Row(line, found, count)

    def _read_row(self, row: _Row, head: _Row) -> Item | Skipped:
        """Return the product of a row; `head` is the row with the title. Raises ValueError."""
        self._catalog.pictures += bool(row["picture"])
        self._catalog.control_characters += row.control_characters
        if not row["handle"]:
            raise ValueError(f"{self._name('handle')}: empty")
        if row is not head and not any(row[meaning] for meaning in _VARIANT):
            return Skipped(row.line, row["handle"], ONLY_PICTURE if row["picture"] else NO_VARIANT)
        if not row["price"]:
            raise ValueError(f"{self._name('price')}: empty")
        title = row["title"] or head["title"]
        if not title:
            raise ValueError(f"{self._name('title')}: empty")
        options = ["" if row[meaning] == NO_OPTION else row[meaning] for meaning in _OPTIONS]
        id = self._ids.take(row["handle"], options, row is head, row.line)
        item = Item(row.line, row["handle"], {"id": id, "price": _DECIMAL_COMMA.sub(r"\1.\2", row["price"])})
        item.body["name"] = self._full_name(item, title, [option for option in options if option])
        if "body" in self._catalog.columns:
            item.body["description"] = self._text(row["body"] or head["body"])
        if "type" in self._catalog.columns:
            item.body["category"] = _one_line(row["type"] or head["type"])
        if "vendor" in self._catalog.columns:
            item.body["vendor"] = _one_line(row["vendor"] or head["vendor"])
        if "tags" in self._catalog.columns:
            item.body["tags"] = [tag for tag in map(_one_line, (row["tags"] or head["tags"]).split(",")) if tag]
        self._set_published(item, row, head)
        self._set_stock(item, row)
        self._set_pictures(item, row)
        return item

    def _full_name(self, item: Item, title: str, options: list[str]) -> str:
        title, suffix = _one_line(title), _one_line(" / ".join(options))
        name = f"{title} - {suffix}" if suffix else title
        if not suffix or len(title) > domain.MAX_NAME_CHARS or len(name) <= domain.MAX_NAME_CHARS:
            return name
        item.notes.append(SHORTENED)
        suffix = suffix[: domain.MAX_NAME_CHARS // 2]
        left = domain.MAX_NAME_CHARS - len(f" - {suffix}")
        return f"{title if len(title) <= left else title[: left - 1] + '…'} - {suffix}"

    def _text(self, html: str) -> str:
        """Return the plain text of HTML, which variants share. Raises ValueError."""
        if html not in self._texts:
            self._texts[html] = self._plain_text(html)
        return self._texts[html]

    def _plain_text(self, html: str) -> str:
        def without_control_characters(reference: re.Match[str]) -> str:
            code = int(reference[1], 16) if reference[1] else int(reference[2])
            is_control = code < 0x80 and bool(_CONTROL_CHARACTERS.match(chr(code)))
            self._catalog.control_characters += is_control
            return "" if is_control else reference[0]  # 0x80 to 0x9f are read as Windows characters, as in browsers

        try:
            text = plain_text(_CHARACTER_REFERENCE.sub(without_control_characters, html))
        except ValueError as error:
            raise ValueError(f"{self._name('body')}: {error}") from None
        text, removed = _CONTROL_CHARACTERS.subn("", text)
        self._catalog.control_characters += removed
        return text.strip()

    def _set_published(self, item: Item, row: _Row, head: _Row) -> None:
        for meaning, for_sale in (
            ("status", ("active", "")),
            ("published", ("true", "")),
            ("gift_card", ("false", "")),
        ):
            if meaning in self._catalog.columns:
                value = row[meaning] or head[meaning]
                item.body.setdefault("published", True)
                if value.lower() not in for_sale:
                    item.body["published"] = False
                    item.unpublished = item.unpublished or f"{self._name(meaning)}: {value.lower()}"

    def _set_stock(self, item: Item, row: _Row) -> None:
        if not re.fullmatch("-?[0-9]{1,12}", row["quantity"] or "0"):
            raise ValueError(f"{self._name('quantity')}: not an integer")
        if "quantity" in self._catalog.columns:
            item.body["stock"] = max(0, int(row["quantity"] or 0))
        is_untracked = "tracker" in self._catalog.columns and not row["tracker"]
        if is_untracked or row["policy"].lower() in ("continue", "true"):
            if self._unlimited is not None:
                item.body["stock"] = self._unlimited
                item.notes.append(UNLIMITED)
            else:
                item.notes.append(UNTRACKED if is_untracked else CONTINUED)

    def _set_pictures(self, item: Item, row: _Row) -> None:
        """Give a variant its own picture first, then those of its product."""
        found = {row["variant_picture"]: ""} if row["variant_picture"] else {}
        for url, alt in self._pictures.get(row["handle"], ()):
            found[url] = found.get(url) or alt
        pictures = {url: alt[: domain.MAX_ALT_CHARS] for url, alt in [*found.items()][: domain.MAX_PICTURES]}
        item.files = {path: alt for path, alt in pictures.items() if _FILE.fullmatch(path)}
        if urls := [url for url in pictures if domain.PICTURE_URL.fullmatch(url)]:
            item.body["pictures"] = [{"url": url, "alt": pictures[url]} for url in urls]
        if len(urls) + len(item.files) < len(pictures):
            item.notes.append(NO_URL)

    def _name(self, meaning: str) -> str:
        return self._catalog.columns[meaning]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(cell: str) -> str:
    """Return the cell without invisible characters, which no handle, number or column name has."""
    return "".join(char for char in cell if unicodedata.category(char) != "Cf").strip()
