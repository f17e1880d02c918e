"""`/api/products`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from chassis.errors import IfMatch, NotFound
from chassis.money import Money
from chassis.schema import SINGLE_LINE, Amount, DecimalString, Id, QueryParams, RequestBody, Schema, Timestamp
from chassis.store import Doc
from chassis.web.api import ADMIN, ANYONE, Api, Response
from chassis.web.auth import Caller
from chassis.web.idempotency import Attempt
from services.inventory.messages import InsufficientStock
from services.products import application, domain, pictures, repository
from services.products.settings import settings

api = Api()

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(domain.check_currency)]


class NewProduct(RequestBody):
    name: domain.Name
    price: Amount
    currency: Currency = ""
    stock: domain.Stock
    description: domain.Description = ""
    category: domain.Category = ""
    vendor: domain.Vendor = ""
    tags: domain.Tags = []
    published: bool = True


class ProductChange(RequestBody):
    name: domain.Name = ""
    price: Amount = None  # type: ignore[assignment]  # never read when it is left out
    currency: Currency = ""
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


class Picture(Schema):
    """A picture at its largest, 1280 px; the renditions of 640 and 320 px have these numbers in their URLs instead."""

    url: str
    alt: str
    width: int
    height: int


class Product(Schema):
    id: Id
    name: str
    description: str
    price: DecimalString
    currency: str
    category: str
    vendor: str
    tags: list[str]
    stock: int
    published: bool
    pictures: list[Picture]
    created_at: Timestamp
    updated_at: Timestamp


ADMIN_PARAMETERS = {"published": "any"}


@api.post("/api/products", auth=ADMIN, responses={201: Product}, errors=(NotFound,))
def create_product(body: NewProduct, caller: Caller, attempt: Attempt) -> Response:
    """Create a product; it is published, and can be ordered at once, unless the body says otherwise."""
    price = domain.parse_price(body.price, body.currency or settings().currency)
    details = domain.Details(body.name, body.description, body.category, body.vendor, tuple(body.tags))
    product = application.create(attempt.created_id, details, price, body.stock, body.published, caller.id)
    return _product(product, status=201)


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
def adjust_stock(id: str, body: StockChange, caller: Caller, attempt: Attempt) -> Response:
    """Add units to the stock, or remove units; a removal of more than is available is rejected."""
    return _product(application.adjust_stock(id, body.adjustment, attempt.dedup_key, caller.id, body.reason))


def view(doc: Doc) -> Product:
    """Return a stored product as a client sees it."""
    return Product(
        id=doc["_id"],
        name=doc["name"],
        description=doc["description"],
        price=str(Money(doc["price"], doc["currency"])),
        currency=doc["currency"],
        category=doc["category"],
        vendor=doc["vendor"],
        tags=doc["tags"],
        stock=doc["stock"],
        published=doc["isPublished"],
        pictures=[
            Picture(url=pictures.url(each), alt=each["alt"], width=each["width"], height=each["height"])
            for each in doc["pictures"]
        ],
        created_at=doc["createdAt"],
        updated_at=doc["updatedAt"],
    )


def _product(doc: Doc, status: int = 200) -> Response:
    headers = {"Location": f"/api/products/{doc['_id']}"} if status == 201 else {}
    return Response(view(doc), status, version=doc["version"], headers=headers)
