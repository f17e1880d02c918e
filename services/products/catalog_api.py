"""`/api/products`: lists of products, searches, and the categories."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from chassis.errors import InvalidInput
from chassis.money import Money
from chassis.schema import ID, SINGLE_LINE, DecimalString, Schema
from chassis.web.api import ANYONE, Api
from chassis.web.paging import Page, PageQuery, read_cursor, write_cursor
from services.products import facets, listing, search_text, searching
from services.products.api import Currency, Visibility
from services.products.listing import Listing
from services.products.settings import settings
from services.products.views import Product, views

catalog_api = Api()

MAX_IDS, MAX_VALUES, MAX_CATEGORIES = 100, 20, 1000
"""Products of one `ids`, values of one filter, and categories of one response."""
Bound = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?$")]
Units = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,10}$")]
Flag = Literal["true", "false"]
_Text = Annotated[str, StringConstraints(max_length=255), SINGLE_LINE]
_TEXT_SCHEMA = {"type": "string", "maxLength": 255}
Several = Annotated[
    Annotated[list[_Text], Field(max_length=MAX_VALUES)],
    BeforeValidator(lambda found: [found] if isinstance(found, str) else found),
    WithJsonSchema({"anyOf": [_TEXT_SCHEMA, {"type": "array", "items": _TEXT_SCHEMA, "maxItems": MAX_VALUES}]}),
]
"""A parameter that may be there more than once."""


class CatalogQuery(PageQuery, Visibility):
    repeatable: ClassVar[frozenset[str]] = frozenset({"category", "tag", "vendor"})

    category: Annotated[Several, Field(description="Repeat it for products of any of several categories")] = []
    tag: Annotated[Several, Field(description="Repeat it for products that have each of several tags")] = []
    vendor: Annotated[Several, Field(description="Repeat it for products of any of several vendors")] = []
    q: Annotated[str, StringConstraints(max_length=200), SINGLE_LINE] | None = None
    min_price: Bound | None = None
    max_price: Bound | None = None
    currency: Currency | None = None
    in_stock: Annotated[Flag, Field(description="`true` leaves out what is sold out")] = "false"
    max_stock: Annotated[
        Units | None, Field(description="Products with at most so many units, for administrators only")
    ] = None
    sort: Annotated[
        Literal["relevance", "name", "price", "-price", "-createdAt"] | None,
        Field(description="By default `relevance` with `q`, by stock with `maxStock`, else `name`"),
    ] = None
    ids: Annotated[
        Annotated[str, StringConstraints(max_length=65 * MAX_IDS)] | None,
        Field(description=f"Up to {MAX_IDS} products by id, separated by commas; it takes no other filter"),
    ] = None
    facets: Annotated[Flag, Field(description="`true` adds the facets of all that is found")] = "false"


class FacetValue(Schema):
    value: str
    count: int


class PriceBounds(Schema):
    currency: str
    min: DecimalString
    max: DecimalString


class Facets(Schema):
    """The values that products of the whole list have, the most frequent first, with the number of products."""

    categories: list[FacetValue]
    tags: list[FacetValue]
    vendors: list[FacetValue]
    prices: list[PriceBounds]


class ProductPage(Page[Product]):
    """A page of products.

    `facets` is null unless they were asked for, and where more than `moreThan` products were found. `moreThan` with
    `sort=relevance` also says that only so many were ranked. `didYouMean` has the words that were searched for, if
    nothing has those of `q`.
    """

    facets: Facets | None = None
    more_than: int | None = None
    did_you_mean: str | None = None


class Category(Schema):
    name: str
    count: int


Categories = Page[Category]
ADMIN_PARAMETERS = {"published": "any", "maxStock": "0"}
_SORT_FIELDS = {"name": "nameKey"}


@catalog_api.get(
    "/api/products", auth=ANYONE, responses={200: ProductPage}, public_for_s=30, admin_parameters=ADMIN_PARAMETERS
)
def list_products(query: CatalogQuery) -> ProductPage:
    """List the published products, filtered and sorted, or search them by `q`.

    A filter or an order by price lists the products of one currency: `currency`, or the one of the shop.
    """
    include_unpublished = query.published == "any"
    if query.ids is not None:
        docs = listing.find_by_ids(_ids(query), include_unpublished)
        return ProductPage(items=views(docs), next_cursor=None)
    words = [] if query.q is None else _search_words(query.q)
    sort: str = query.sort or ("stock" if query.max_stock else "relevance")
    if sort == "relevance" and not words:
        sort = "name"
    where = Listing(_terms(query, sort), _SORT_FIELDS.get(sort, sort), include_unpublished)
    scope = [*where.scope(), *words]
    after, with_facets = read_cursor(query.cursor, scope), query.facets == "true"
    if words:
        found = searching.find(where, words, query.limit, after, with_facets)
    else:
        found = listing.find(where, query.limit, after, with_facets)
    return ProductPage(
        items=views(found.docs),
        next_cursor=write_cursor(found.after, scope) if found.after else None,
        facets=_facets(found.facets) if found.facets else None,
        more_than=found.more_than,
        did_you_mean=found.did_you_mean,
    )


@catalog_api.get("/api/products/categories", auth=ANYONE, responses={200: Categories}, public_for_s=30)
def list_categories() -> Categories:
    """List the categories of published products, with the number of products; of very many, the largest."""
    largest = sorted(listing.count_categories().items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_CATEGORIES]
    return Categories(items=[Category(name=name, count=count) for name, count in sorted(largest)], next_cursor=None)


def _terms(query: CatalogQuery, sort: str) -> dict[str, Any]:
    """Return the conditions of the filter by field."""
    terms: dict[str, Any] = {}
    for name, values in (("category", query.category), ("vendor", query.vendor)):
        if values:
            terms[name] = values[0] if len(values) == 1 else {"$in": sorted(set(values))}
    if query.tag:
        terms["tags"] = {"$all": sorted(set(query.tag))}
    if query.currency or query.min_price or query.max_price or sort in ("price", "-price"):
        terms["currency"] = query.currency or settings().currency
    if query.min_price or query.max_price:
        terms["price"] = _price_filter(query, terms["currency"])
    units = {"$gt": 0} if query.in_stock == "true" else {}
    if units or query.max_stock is not None:
        terms["stock"] = units | ({"$lte": int(query.max_stock)} if query.max_stock is not None else {})
    return terms


def _ids(query: CatalogQuery) -> list[str]:
    ids = (query.ids or "").split(",")
    if len(ids) > MAX_IDS:
        raise InvalidInput(("ids", f"has more than {MAX_IDS} ids"))
    if not all(ID.fullmatch(id) for id in ids):
        raise InvalidInput(("ids", "is not a list of ids, separated by commas"))
    if others := query.model_fields_set - {"ids", "published", "limit"}:
        raise InvalidInput(("ids", f"cannot be combined with {', '.join(sorted(others))}"))
    return ids


def _search_words(q: str) -> list[str]:
    words = search_text.split(q)
    if not words:
        raise InvalidInput(("q", "contains no word to search for"))
    return words


def _price_filter(query: CatalogQuery, currency: str) -> dict[str, int]:
    """Return the filter of the price in minor units."""
    bounds = {}
    for operator, name, amount in (("$gte", "minPrice", query.min_price), ("$lte", "maxPrice", query.max_price)):
        if amount:
            try:
                bounds[operator] = Money.parse(amount, currency).minor
            except ValueError as error:
                raise InvalidInput((name, str(error))) from None
    return bounds


def _facets(found: facets.Facets) -> Facets:
    def values(counts: facets.Counts) -> list[FacetValue]:
        return [FacetValue(value=value, count=count) for value, count in counts]

    return Facets(
        categories=values(found.categories),
        tags=values(found.tags),
        vendors=values(found.vendors),
        prices=[
            PriceBounds(currency=currency, min=str(Money(low, currency)), max=str(Money(high, currency)))
            for currency, low, high in found.prices
        ],
    )
