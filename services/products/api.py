"""`/api/products`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from chassis import clock
from chassis.errors import IfMatch, InvalidInput, NotFound
from chassis.money import Money
from chassis.schema import SINGLE_LINE, Amount, QueryParams, RequestBody
from chassis.store import Doc
from chassis.web.api import ADMIN, ANYONE, Api, Response
from chassis.web.auth import Caller
from chassis.web.idempotency import Attempt
from services.inventory.messages import InsufficientStock
from services.products import application, domain, repository, variant_rules, variants
from services.products.settings import settings
from services.products.variant_rules import HasVariants
from services.products.views import Product, view

api = Api()

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(domain.check_currency)]


class NewVariant(RequestBody):
    """A variant: `options` are what it differs in, such as {"size": "L"}."""

    options: Annotated[
        dict[variant_rules.OptionText, variant_rules.OptionText],
        Field(min_length=1, max_length=variant_rules.MAX_OPTIONS),
    ]
    price: Amount | None = None
    stock: domain.Stock | None = None
    sku: variant_rules.Sku = ""


class NewProduct(RequestBody):
    """A product. With `variants`, each of them needs a price and a stock: its own, or that of the body."""

    name: domain.Name
    price: Amount | None = None
    currency: Currency = ""
    stock: domain.Stock | None = None
    sku: variant_rules.Sku = ""
    description: domain.Description = ""
    category: domain.Category = ""
    vendor: domain.Vendor = ""
    tags: domain.Tags = []
    published: bool = True
    variants: Annotated[list[NewVariant], Field(max_length=variant_rules.MAX_VARIANTS)] = []


class ProductChange(RequestBody):
    name: domain.Name = ""
    price: Amount = None  # type: ignore[assignment]  # never read when it is left out
    currency: Currency = ""
    sku: variant_rules.Sku = ""
    description: domain.Description = ""
    category: domain.Category = ""
    vendor: domain.Vendor = ""
    tags: domain.Tags = []
    published: bool = True


class StockChange(RequestBody):
    adjustment: Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]
    reason: Annotated[str, StringConstraints(max_length=200), SINGLE_LINE] = ""
    """Why; the history of the stock in inventory shows it."""


class Visibility(QueryParams):
    """`published=any` includes products that are not published; only an administrator may send it."""

    published: Annotated[
        Literal["any"] | None, Field(description="`any` includes unpublished products, for administrators only")
    ] = None


ADMIN_PARAMETERS = {"published": "any"}


@api.post("/api/products", auth=ADMIN, responses={201: Product}, errors=(NotFound,))
def create_product(body: NewProduct, caller: Caller, attempt: Attempt) -> Response:
    """Create a product; it is published, and can be ordered at once, unless the body says otherwise.

    With `variants` these are ordered, under ids of their own. If the request fails after it began, they follow later.
    """
    currency = body.currency or settings().currency
    details = domain.Details(body.name, body.description, body.category, body.vendor, tuple(body.tags))
    if body.variants:
        if body.sku:
            raise InvalidInput(("sku", "is that of each variant"))
        names = variant_rules.option_names([each.options for each in body.variants])
        new = [_new_variant(body, place, names, currency) for place in range(len(body.variants))]
        product = variants.create(attempt.created_id, details, currency, names, new, body.published, caller.id)
    else:
        price, stock = _price(body.price, "price", currency), _stock(body.stock, "stock")
        product = application.create(attempt.created_id, details, price, stock, body.published, caller.id, body.sku)
    return _product(product, status=201)


def _new_variant(body: NewProduct, place: int, names: Sequence[str], currency: str) -> variant_rules.NewVariant:
    variant = body.variants[place]
    price = body.price if variant.price is None else variant.price
    stock = body.stock if variant.stock is None else variant.stock
    return variant_rules.NewVariant(
        clock.new_id(),
        tuple(variant.options[name] for name in names),
        _price(price, f"variants[{place}].price", currency).minor,
        _stock(stock, f"variants[{place}].stock"),
        variant.sku,
    )


def _price(amount: Decimal | None, field: str, currency: str) -> Money:
    if amount is None:
        raise InvalidInput((field, "Field required"))
    return domain.parse_price(amount, currency, field)


def _stock(units: int | None, field: str) -> int:
    if units is None:
        raise InvalidInput((field, "Field required"))
    return units


@api.get(
    "/api/products/{id}", auth=ANYONE, responses={200: Product}, public_for_s=30, admin_parameters=ADMIN_PARAMETERS
)
def get_product(id: str, query: Visibility) -> Response:
    """Get one product that is published, or one of its variants by the id of the variant."""
    find = repository.get if query.published == "any" else repository.get_published
    return _product(find(id))


@api.put("/api/products/{id}", auth=ADMIN, responses={200: Product})
def change_product(id: str, body: ProductChange, attempt: Attempt, if_match: IfMatch) -> Response:
    """Change fields of a product; its stock has a route of its own."""
    fields = {name: getattr(body, name) for name in body.model_fields_set}
    return _product(application.change(id, fields, if_match, attempt.dedup_key))


@api.delete("/api/products/{id}", auth=ADMIN, responses={204: None})
def delete_product(id: str, if_match: IfMatch) -> Response:
    """Delete a product from the catalog; its open reservations remain valid until they expire."""
    application.delete(id, if_match)
    return Response(status=204)


@api.patch("/api/products/{id}/stock", auth=ADMIN, responses={200: Product}, errors=(InsufficientStock, HasVariants))
def adjust_stock(id: str, body: StockChange, caller: Caller, attempt: Attempt) -> Response:
    """Add units to the stock, or remove units; a removal of more than is available is rejected."""
    return _product(application.adjust_stock(id, body.adjustment, attempt.dedup_key, caller.id, body.reason))


def _product(doc: Doc, status: int = 200) -> Response:
    headers = {"Location": f"/api/products/{doc['_id']}"} if status == 201 else {}
    return Response(view(doc, repository.parent_of(doc)), status, version=doc["version"], headers=headers)
