"""Parser of the product CSV that Shopify exports, of its present template and of the one before.

    Handle     Title      Option1 Value  Variant Price  Variant Inventory Qty
    camp-mug   Camp mug   Small          12.90          40                      -> camp-mug        Small
    camp-mug              Large          14.90          -3                      -> camp-mug_large  Large, 0
    camp-mug                                                                    another picture: no product

The variants of a handle that has options belong to one product, camp-mug__product, with the title, text, vendor, type,
tags and status of the first row with a title. A negative quantity means that more was sold than was in stock: it is
imported as 0, as is an empty one. A product that is not for sale there is imported unpublished.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.products import domain, spreadsheet, variant_rules
from services.products.html import plain_text
from services.products.product_ids import ProductIds
from services.products.shopify_rows import (
    COLUMNS,
    MEANINGS,
    REQUIRED,
    TEXTS,
    Row,
    find_options,
    is_variant,
    one_line,
    values,
)
from services.products.variant_rules import MAX_OPTION_CHARS, MAX_VARIANTS

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
MANY_VARIANTS = f"has more than {MAX_VARIANTS} variants: each becomes a product of its own"
SHORTENED = f"name shortened to {domain.MAX_NAME_CHARS} characters"


@dataclass
class Item:
    """A product or variant as the import route takes it; `unpublished` says why it is not for sale, "" if it is.

    `files` are pictures beside the file, each with its description; `parent_files` those of the product of a variant.
    """

    line: int
    handle: str
    body: dict[str, Any]
    unpublished: str = ""
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    parent_files: dict[str, str] = field(default_factory=dict)


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
    rows = spreadsheet.read_rows(text, MEANINGS.keys())
    line, header = next(rows, (1, []))
    if not isinstance(header, list):
        raise ValueError(f"line {line}: {header}")
    meanings = [MEANINGS.get(_plain(name).lower(), "") for name in header]
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
    if missing := [COLUMNS[meaning][0] for meaning in REQUIRED if meaning not in columns]:
        raise ValueError(f"there is no column {', '.join(missing)}: this is not a product CSV of Shopify")
    return columns


class _Reader:
    def __init__(self, catalog: Catalog, meanings: list[str], unlimited: int | None) -> None:
        self._catalog, self._meanings, self._unlimited = catalog, meanings, unlimited
        self._texts: dict[str, str] = {}
        self._pictures: dict[str, list[tuple[str, str]]] = {}
        """The pictures of a product, by its handle: (URL, description)."""

    def read(self, rows: list[spreadsheet.Row]) -> Catalog:
        readable = {line: self._row(line, cells) for line, cells in rows if isinstance(cells, list)}
        heads: dict[str, Row] = {}
        for row in readable.values():
            if row["handle"] and (row["handle"] not in heads or (row["title"] and not heads[row["handle"]]["title"])):
                heads[row["handle"]] = row
        self._ids = ProductIds(heads, [(row["handle"], values(row)) for row in readable.values()])
        self._options, self._too_many = find_options(readable.values())
        for row in readable.values():
            if row["picture"]:
                self._pictures.setdefault(row["handle"], []).append((row["picture"], one_line(row["alt"])))
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

    def _row(self, line: int, cells: list[str]) -> Row:
        found, count = {}, 0
        for meaning, cell in zip(self._meanings, cells, strict=False):
            if meaning:
                text, removed = _CONTROL_CHARACTERS.subn("", cell)
                found[meaning] = text.strip() if meaning in TEXTS else _plain(text)
                count += removed
        return Row(line, found, count)

    def _read_row(self, row: Row, head: Row) -> Item | Skipped:
        """Return the product of a row; `head` is the row with the title. Raises ValueError."""
        self._catalog.pictures += bool(row["picture"])
        self._catalog.control_characters += row.control_characters
        if not row["handle"]:
            raise ValueError(f"{self._name('handle')}: empty")
        if row is not head and not is_variant(row):
            return Skipped(row.line, row["handle"], ONLY_PICTURE if row["picture"] else NO_VARIANT)
        if not row["price"]:
            raise ValueError(f"{self._name('price')}: empty")
        names = self._options.get(row["handle"])
        shared = head if names else row
        title = one_line(shared["title"] or head["title"])
        if not title:
            raise ValueError(f"{self._name('title')}: empty")
        options = values(row)
        id = self._ids.take(row["handle"], options, row is head, row.line)
        item = Item(row.line, row["handle"], {"id": id, "price": _DECIMAL_COMMA.sub(r"\1.\2", row["price"])})
        suffix = " / ".join(one_line(option) for option in options if option)
        item.body["name"] = title if names else variant_rules.full_name(title, [suffix])
        if suffix and len(f"{title} - {suffix}") > domain.MAX_NAME_CHARS:
            item.notes.append(SHORTENED)
        if row["handle"] in self._too_many:
            item.notes.append(MANY_VARIANTS)
        if names:
            item.body["parentId"] = self._ids.of_parent(row["handle"])
            item.body["options"] = {
                name: one_line(value)[:MAX_OPTION_CHARS] for name, value in zip(names, options, strict=True) if value
            }
        if row["sku"]:
            item.body["sku"] = row["sku"]
        self._set_texts(item, shared, head)
        self._set_published(item, shared, head)
        self._set_stock(item, row)
        self._set_pictures(item, row, bool(names))
        return item

    def _set_texts(self, item: Item, row: Row, head: Row) -> None:
        if "body" in self._catalog.columns:
            item.body["description"] = self._text(row["body"] or head["body"])
        if "type" in self._catalog.columns:
            item.body["category"] = one_line(row["type"] or head["type"])
        if "vendor" in self._catalog.columns:
            item.body["vendor"] = one_line(row["vendor"] or head["vendor"])
        if "tags" in self._catalog.columns:
            item.body["tags"] = [tag for tag in map(one_line, (row["tags"] or head["tags"]).split(",")) if tag]

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

    def _set_published(self, item: Item, row: Row, head: Row) -> None:
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

    def _set_stock(self, item: Item, row: Row) -> None:
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

    def _set_pictures(self, item: Item, row: Row, is_variant: bool) -> None:
        """Give a variant with a product its own picture, and the others to its product; any other item has both."""
        own = {row["variant_picture"]: ""} if row["variant_picture"] else {}
        shared: dict[str, str] = {}
        for url, alt in self._pictures.get(row["handle"], ()):
            shared[url] = shared.get(url) or alt
        if is_variant:
            own = {url: shared.get(url, "") for url in own}
            urls, item.parent_files = self._split(item, shared)
            if urls:
                item.body["pictures"] = urls
            urls, item.files = self._split(item, own)
            if urls:
                item.body["picture"] = urls[0]
        else:
            urls, item.files = self._split(item, {url: shared.get(url, "") for url in {**own, **shared}})
            if urls:
                item.body["pictures"] = urls

    def _split(self, item: Item, pictures: dict[str, str]) -> tuple[list[dict[str, str]], dict[str, str]]:
        """Return those that the shop downloads, and those that are files."""
        first = {path: alt[: domain.MAX_ALT_CHARS] for path, alt in [*pictures.items()][: domain.MAX_PICTURES]}
        files = {path: alt for path, alt in first.items() if _FILE.fullmatch(path)}
        urls = [{"url": url, "alt": alt} for url, alt in first.items() if domain.PICTURE_URL.fullmatch(url)]
        if len(urls) + len(files) < len(first) and NO_URL not in item.notes:
            item.notes.append(NO_URL)
        return urls, files

    def _name(self, meaning: str) -> str:
        return self._catalog.columns[meaning]


def _plain(cell: str) -> str:
    """Return the cell without invisible characters, which no handle, number or column name has."""
    return "".join(char for char in cell if unicodedata.category(char) != "Cf").strip()
