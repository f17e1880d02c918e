"""`/api/products/imports`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from chassis import clock
from chassis.errors import DomainError, InvalidInput
from chassis.schema import Amount, Id, RequestBody, Schema, growing
from chassis.web.api import ADMIN, Api
from chassis.web.auth import Caller
from chassis.web.problems import invalid_fields
from services.products import domain, imports, variant_rules
from services.products.api import Currency
from services.products.settings import settings

imports_api = Api()


class PictureSource(RequestBody):
    """A picture that the shop downloads, if PICTURE_HOSTS has its host."""

    url: domain.PictureUrl
    alt: domain.Alt = ""


class ImportedProduct(RequestBody):
    """The fields of a row; one that is left out is kept, or has its default in a new product.

    A row with `parentId` is a variant of that product, whose name, texts and pictures it has; `picture` is its own.
    """

    id: Id
    name: domain.Name
    price: Amount
    currency: Currency = ""
    stock: domain.Stock = 0
    description: domain.Description = ""
    category: domain.Category = ""
    vendor: domain.Vendor = ""
    tags: domain.Tags = []
    published: bool = True
    pictures: Annotated[list[PictureSource], Field(max_length=domain.MAX_PICTURES)] = []
    sku: variant_rules.Sku = ""
    parent_id: Id | None = None
    options: Annotated[
        dict[variant_rules.OptionText, variant_rules.OptionText], Field(max_length=variant_rules.MAX_OPTIONS)
    ] = {}
    picture: PictureSource | None = None


class ImportRow(Schema):
    """A product: its `id`, `name`, `price`, `currency`, `stock`, `published`, `pictures`, and the texts about it.

    A variant also has the `parentId` of its product, its `options` such as {"size": "L"}, and its own `picture`.

    They are as in POST /api/products, and checked row by row.
    """

    model_config = ConfigDict(extra="allow")

    id: Id


class ProductImport(RequestBody):
    items: Annotated[list[ImportRow], Field(min_length=1, max_length=imports.MAX_ROWS)]
    stock: Literal["keep", "set"] = "keep"
    """What happens to the stock of a product that exists; a new product gets the stock of its row."""
    import_id: Id = ""
    """Requests with the same value set the stock of a product once."""


class ImportResult(Schema):
    """What became of a row; `field` and `reason` say why it was refused, and are empty otherwise."""

    id: Id
    outcome: Annotated[str, growing("created", "updated", "unchanged", "refused")]
    field: str
    reason: str


class ImportResults(Schema):
    """The result of each row, in the order of the request."""

    items: list[ImportResult]


Refusal = tuple[str, str]
"""The field, "" if there is none, and the reason."""


@imports_api.post("/api/products/imports", auth=ADMIN, responses={200: ImportResults}, idempotent=False)
def import_products(body: ProductImport, caller: Caller) -> ImportResults:
    """Create products, or change what differs, row by row.

    A refused row does not stop the others. A repeated request finds the products by their ids and does what is left.
    """
    rows: dict[str, imports.Row] = {}
    read: list[imports.Row | Refusal] = []
    for item in body.items:
        row = (
            ("id", "is that of an earlier row")
            if item.id in rows
            else _row({"id": item.id, **(item.model_extra or {})})
        )
        read.append(row)
        if isinstance(row, imports.Row):
            rows[row.id] = row
    outcomes = imports.import_rows([*rows.values()], body.stock == "set", body.import_id or clock.new_id(), caller.id)
    return ImportResults(
        items=[
            _result(item.id, outcomes[row.id] if isinstance(row, imports.Row) else row)
            for item, row in zip(body.items, read, strict=True)
        ]
    )


def _row(item: dict[str, Any]) -> imports.Row | Refusal:
    """Return a row, or why it is refused."""
    if item["id"] in domain.RESERVED_IDS:
        return "id", "is the name of a route; another handle is needed"
    try:
        product = ImportedProduct.read(item)
        price = domain.parse_price(product.price, product.currency or settings().currency)
    except ValidationError as error:
        first = invalid_fields(error)[0]
        return first["field"], first["reason"]
    except InvalidInput as error:
        first = error.extra["errors"][0]
        return first["field"], first["reason"]
    if product.parent_id and not product.options:
        return "options", "a variant has a value of at least one option"
    if product.options and not product.parent_id:
        return "parentId", "is missing: options are those of a variant"
    if product.parent_id == product.id:
        return "parentId", "is the id of the row itself"
    given = product.model_fields_set
    return imports.Row(
        id=product.id,
        name=product.name,
        price=price,
        stock=product.stock if "stock" in given else None,
        published=product.published if "published" in given else None,
        texts={name: getattr(product, name) for name in ("description", "category", "vendor") if name in given},
        tags=tuple(dict.fromkeys(product.tags)) if "tags" in given else None,
        pictures=tuple((picture.url, picture.alt) for picture in product.pictures),
        sku=product.sku if "sku" in given else None,
        parent_id=product.parent_id or "",
        options=product.options,
        picture=(product.picture.url, product.picture.alt) if product.picture else None,
    )


def _result(id: str, outcome: imports.Outcome | DomainError | Refusal) -> ImportResult:
    if isinstance(outcome, str):
        return ImportResult(id=id, outcome=outcome, field="", reason="")
    if isinstance(outcome, InvalidInput):
        first = outcome.extra["errors"][0]
        outcome = first["field"], first["reason"]
    field, reason = outcome if isinstance(outcome, tuple) else ("", str(outcome))
    return ImportResult(id=id, outcome="refused", field=field, reason=reason)
