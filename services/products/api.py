"""`/api/products`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from chassis.errors import IfMatch, InvalidInput, NotFound
from chassis.money import Money
from chassis.schema import SINGLE_LINE, Amount, DecimalString, Id, QueryParams, RequestBody, Schema, Timestamp
from chassis.store import Doc
from chassis.web.api import ADMIN, ANYONE, Api, Response
from chassis.web.idempotency import Attempt
from chassis.web.paging import Page, PageQuery, find_page
from services.inventory.messages import InsufficientStock
from services.products import application, domain, repository
from services.products.settings import settings

api = Api()

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(domain.check_currency)]
Bound = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?$")]


class NewProduct(RequestBody):
    name: domain.Name
    price: Amount
    currency: Currency = ""
    stock: domain.Stock
    description: domain.Description = ""
    category: domain.Category = ""
    published: bool = True


class ProductChange(RequestBody):
    name: domain.Name = ""
    price: Amount = None  # type: ignore[assignment]  # never read when it is left out
    currency: Currency = ""
    description: domain.Description = ""
    category: domain.Category = ""
    published: bool = True


class StockChange(RequestBody):
    adjustment: Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]


class Visibility(QueryParams):
    """`published=any` includes products that are not published; only an administrator may send it."""

    published: Annotated[
        Literal["any"] | None, Field(description="`any` includes unpublished products, for administrators only")
    ] = None


class Search(PageQuery, Visibility):
    category: Annotated[str, StringConstraints(max_length=100), SINGLE_LINE] | None = None
    q: Annotated[str, StringConstraints(max_length=200), SINGLE_LINE] | None = None
    min_price: Bound | None = None
    max_price: Bound | None = None
    currency: Currency | None = None
    sort: Literal["name", "price", "-price", "-createdAt"] = "name"


class Product(Schema):
    id: Id
    name: str
    description: str
    price: DecimalString
    currency: str
    category: str
    stock: int
    published: bool
    created_at: Timestamp
    updated_at: Timestamp


Products = Page[Product]
ADMIN_PARAMETERS = {"published": "any"}
_SORT_FIELDS = {"name": "nameKey"}


@api.post("/api/products", auth=ADMIN, responses={201: Product}, errors=(NotFound,))
def create_product(body: NewProduct, attempt: Attempt) -> Response:
    """Create a product; it is published, and can be ordered at once, unless the body says otherwise."""
    price = domain.parse_price(body.price, body.currency or settings().currency)
    product = application.create(
        attempt.created_id, body.name, price, body.stock, body.description, body.category, body.published
    )
    return _product(product, status=201)


@api.get("/api/products", auth=ANYONE, responses={200: Products}, public_for_s=30, admin_parameters=ADMIN_PARAMETERS)
def list_products(query: Search) -> Products:
    """List the published products, filtered by category, words and price.

    A filter or an order by price lists the products of one currency: `currency`, or the one of the shop.
    """
    where = repository.catalog(query.published == "any")
    if query.category is not None:
        where["category"] = query.category
    if query.q is not None:
        where["words"] = {"$all": _search_words(query.q)}
    compares_prices = bool(query.min_price or query.max_price) or query.sort in ("price", "-price")
    if query.currency or compares_prices:
        where["currency"] = query.currency or settings().currency
    if query.min_price or query.max_price:
        where["price"] = _price_filter(query, where["currency"])
    docs, cursor = find_page(repository.products, where, query, sort=_SORT_FIELDS.get(query.sort, query.sort))
    return Products(items=[_view(doc) for doc in docs], next_cursor=cursor)


@api.get(
    "/api/products/{id}", auth=ANYONE, responses={200: Product}, public_for_s=30, admin_parameters=ADMIN_PARAMETERS
)
def get_product(id: str, query: Visibility) -> Response:
    """Get one product that is published."""
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


@api.patch("/api/products/{id}/stock", auth=ADMIN, responses={200: Product}, errors=(InsufficientStock,))
def adjust_stock(id: str, body: StockChange, attempt: Attempt) -> Response:
    """Add units to the stock, or remove units; a removal of more than is available is rejected."""
    return _product(application.adjust_stock(id, body.adjustment, attempt.dedup_key))


def _search_words(q: str) -> list[str]:
    words = domain.search_words(q)
    if not words:
        raise InvalidInput(("q", "contains no word to search for"))
    return words


def _price_filter(query: Search, currency: str) -> dict[str, int]:
    """Return the filter of the price in minor units."""
    bounds = {}
    for operator, name, amount in (("$gte", "minPrice", query.min_price), ("$lte", "maxPrice", query.max_price)):
        if amount:
            try:
                bounds[operator] = Money.parse(amount, currency).minor
            except ValueError as error:
                raise InvalidInput((name, str(error))) from None
    return bounds


def _view(doc: Doc) -> Product:
    return Product(
        id=doc["_id"],
        name=doc["name"],
        description=doc["description"],
        price=str(Money(doc["price"], doc["currency"])),
        currency=doc["currency"],
        category=doc["category"],
        stock=doc["stock"],
        published=doc["isPublished"],
        created_at=doc["createdAt"],
        updated_at=doc["updatedAt"],
    )


def _product(doc: Doc, status: int = 200) -> Response:
    headers = {"Location": f"/api/products/{doc['_id']}"} if status == 201 else {}
    return Response(_view(doc), status, version=doc["version"], headers=headers)
