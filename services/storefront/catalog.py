"""Home, lists and products: pages that are the same for everybody, so that any cache may keep them."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import StringConstraints

from chassis.calls import ProblemResponse, on_behalf
from chassis.errors import NotFound
from chassis.schema import QueryParams
from chassis.web.pages import Page
from services.storefront.settings import settings
from services.storefront.site import BY_LANGUAGE, pages, translate

PAGE_SIZE = 24
HOME_SIZE = 8
CACHE_S = 30
LOW_STOCK = 5
"""Below this many units a page names the number."""
MAX_SITEMAP = 5_000
NO_FACETS: Mapping[str, Any] = {"categories": None, "vendors": None, "tags": None}
"""The choices of a list that is not known."""
products = on_behalf("products")
Text = Annotated[str, StringConstraints(max_length=200)]


class ListQuery(QueryParams):
    """What a list shows."""

    repeatable: ClassVar = frozenset({"category", "tag", "vendor"})

    q: Text = ""
    category: list[Text] | Text = ""
    tag: list[Text] | Text = ""
    vendor: list[Text] | Text = ""
    min_price: Text = ""
    max_price: Text = ""
    in_stock: Literal["", "true"] = ""
    sort: Literal["", "relevance", "name", "price", "-price", "-createdAt"] = ""
    cursor: Annotated[str, StringConstraints(max_length=2000)] = ""

    def chosen(self) -> dict[str, Any]:
        """Return what is chosen, by the names of the API."""
        return self.model_dump(by_alias=True, exclude_defaults=True)


@pages.get("/", cache_s=CACHE_S)
def home() -> Page:
    """Show the categories and the newest products."""
    found = products.get("/api/products", query={"limit": HOME_SIZE, "sort": "-createdAt", "facets": "true"}).body
    categories = (found.get("facets") or {}).get("categories") or []
    return Page("home.html", items=found["items"], categories=categories, headers=BY_LANGUAGE)


@pages.get("/shop/products", query=ListQuery, cache_s=CACHE_S)
def products_page(query: ListQuery) -> Page:
    """Show a list of products: of a category, of a search, or all."""
    chosen = query.chosen()
    try:
        asked = {"limit": PAGE_SIZE, "facets": "true", **chosen}
        found: Mapping[str, Any] = products.get("/api/products", query=asked).body
        unclear = ""
    except ProblemResponse as problem:
        if problem.status != 422:
            raise
        found = {"items": [], "nextCursor": None}
        unclear = _reason(problem)
    return Page(
        "products.html",
        status=422 if unclear else 200,
        headers=BY_LANGUAGE,
        items=found["items"],
        facets=found.get("facets") or NO_FACETS,
        did_you_mean=found.get("didYouMean"),
        more=_more(chosen, found["nextCursor"]),
        chosen={name: value if isinstance(value, list) else [value] for name, value in chosen.items()},
        query=query,
        unclear=unclear,
        title=_title(query),
    )


@pages.get("/shop/products/{id}", errors=(NotFound,), cache_s=CACHE_S)
def product_page(id: str) -> Page:
    """Show a product; the id of a variant shows its product, with this variant chosen."""
    product = _product(id)
    chosen = id
    if product.get("parentId"):
        product = _product(product["parentId"])
    variants = product.get("variants") or []
    if variants and all(each["id"] != chosen for each in variants):
        chosen = next((each["id"] for each in variants if each["stock"]), variants[0]["id"])
    return Page(
        "product.html",
        headers=BY_LANGUAGE,
        product=product,
        variants=variants,
        chosen=chosen,
        low=LOW_STOCK,
        structured=_structured(product),
    )


@pages.get("/sitemap.xml", cache_s=3600)
def sitemap() -> Page:
    """List home and products, for search engines."""
    ids: list[str] = []
    query: dict[str, Any] = {"limit": 100, "sort": "-createdAt"}
    while len(ids) < MAX_SITEMAP:
        found = products.get("/api/products", query=query).body
        ids += [each["id"] for each in found["items"]]
        if not found["nextCursor"]:
            break
        query["cursor"] = found["nextCursor"]
    return Page("sitemap.xml", base=settings().public_url.rstrip("/"), ids=ids)


def _product(id: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = products.get("/api/products/{id}", id=id).body
    except ProblemResponse as problem:
        raise NotFound("product") if problem.status == 404 else problem from problem
    return found


def _more(chosen: dict[str, Any], cursor: str | None) -> str:
    """Return the address of the next page, "" behind the last one."""
    return "/shop/products?" + urlencode({**chosen, "cursor": cursor}, doseq=True) if cursor else ""


def _reason(problem: ProblemResponse) -> str:
    errors = problem.body.get("errors", ())
    if any(each["field"] in ("minPrice", "maxPrice") for each in errors):
        return translate("Please write a price as a number, such as 19.90.")
    reasons = [each["reason"] for each in errors if each.get("reason")]
    return "; ".join(reasons) or problem.detail


def _title(query: ListQuery) -> str:
    if query.q:
        return translate("Results for “{query}”", query=query.q)
    if query.category and isinstance(query.category, str):
        return query.category
    return translate("All products")


def _structured(product: dict[str, Any]) -> dict[str, Any]:
    """Return the product as schema.org has it, for search engines."""
    base = settings().public_url.rstrip("/")
    available = "InStock" if product["stock"] > 0 else "OutOfStock"
    return {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": product["name"],
        "description": product["description"],
        "sku": product.get("sku") or product["id"],
        "category": product["category"],
        "image": [base + each["url"] for each in product["pictures"] if each["url"].startswith("/")],
        "offers": {
            "@type": "Offer",
            "url": f"{base}/shop/products/{product['id']}",
            "price": product["price"],
            "priceCurrency": product["currency"],
            "availability": f"https://schema.org/{available}",
        },
    }
