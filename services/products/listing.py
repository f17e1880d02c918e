"""Lists of the catalog: what an index answers, and what is done in memory.

    filter and sort share an index     ──►  pages from the store, at any size
    any other                          ──►  at most 1,000 candidates from the most selective index, the rest in memory
    relevance, with more candidates    ──►  the first 1,000 that match

`docs/http-api.md` has the table. A list is defined by `repository.catalog` and the terms of its filter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chassis.errors import InvalidInput
from chassis.store import MAX_PAGE_SIZE, Cursor, Doc, Filter, cursor_after
from chassis.store.documents import matches
from services.products import repository
from services.products.facets import Facets, count_facets

MAX_CANDIDATES = 1000
"""Products that are filtered, ranked and counted in memory."""

_INDEXED: Mapping[str, tuple[set[str], ...]] = {
    "nameKey": (set(), {"category"}, {"vendor"}),
    "price": ({"currency"}, {"currency", "price"}, {"category", "currency"}, {"category", "currency", "price"}),
    "createdAt": (set(), {"category"}),
    "stock": (set(), {"stock"}),
}
"""Sort field -> the terms of a filter with which it shares an index; a term of several values shares none."""


class Found(NamedTuple):
    """A page: `after` continues behind it, `more_than` says that there are more candidates than were looked at."""

    docs: list[Doc]
    after: list[Any] | None = None
    facets: Facets | None = None
    more_than: int | None = None
    did_you_mean: str | None = None


@dataclass(frozen=True)
class Listing:
    """What to list: `terms` are conditions by the name of their field; `sort` is a field, with - for descending."""

    terms: Mapping[str, Any] = field(default_factory=dict)
    sort: str = "nameKey"
    include_unpublished: bool = False

    def bases(self) -> list[dict[str, Any]]:
        """Return the filters that lists begin with: together they cover what is listed."""
        return [repository.catalog(True), *([repository.catalog(False)] if self.include_unpublished else [])]

    def scope(self) -> list[Any]:
        """Return data that tells this list from others."""
        published = {"isPublished": "any"} if self.include_unpublished else {}
        return [repository.products.name, {**self.bases()[0], **published, **self.terms}, self.sort]

    def is_indexed(self) -> bool:
        """Return whether one index has the filter and the order."""
        has_several = any(isinstance(term, dict) and "$in" in term for term in self.terms.values())
        return not has_several and {*self.terms} in _INDEXED[self.sort.lstrip("-")]

    def sources(self) -> list[list[Filter]]:
        """Return the filters that one index answers alone: each finds all that is listed, and more."""
        prices = {name: self.terms[name] for name in ("currency", "price") if name in self.terms}
        alone = [{name: term} for name, term in self.terms.items() if name not in prices]
        return [[each] for each in (*alone, *([prices] if prices else []))]


def find(
    listing: Listing, limit: int, after: list[Any] | None, with_facets: bool, max_candidates: int = MAX_CANDIDATES
) -> Found:
    """Return a page of the list behind `after`. Raises InvalidInput if too many products match for this order."""
    if listing.is_indexed():
        docs = _indexed_page(listing, limit + 1, (after[0], after[1]) if after else None)
        facets, more_than = _facets_of_list(listing, max_candidates) if with_facets else (None, None)
        last = [*cursor_after(docs[:limit], listing.sort)] if len(docs) > limit else None
        return Found(docs[:limit], last, facets, more_than)
    # A list that grows over the bound while it is read can be read to its end.
    candidates = most_selective(listing, listing.sources(), 2 * max_candidates if after else max_candidates)
    if candidates is None:
        raise too_many(listing, max_candidates)
    docs = [doc for doc in candidates if matches(doc, listing.terms)]
    page, last = page_of(docs, lambda doc: sort_key(doc, listing.sort), limit, after, listing.sort.startswith("-"))
    return Found(page, last, count_facets(docs) if with_facets else None)


def find_by_ids(ids: Sequence[str], include_unpublished: bool) -> list[Doc]:
    """Return these products and variants, in this order, without those that the caller does not see."""
    stored = repository.products.find({"deleted": False, "_id": {"$in": [*ids]}}, limit=len(ids))
    found = {
        doc["_id"]: doc
        for doc in stored
        if (doc["isListed"] or doc["parentId"]) and (doc["isPublished"] or include_unpublished)
    }
    return [found[id] for id in dict.fromkeys(ids) if id in found]


def count_categories() -> dict[str, int]:
    """Return the number of listed products of each category."""
    counts = repository.products.count_by("category", repository.catalog())
    return {category: count for category, count in counts.items() if category}


def _indexed_page(listing: Listing, limit: int, after: Cursor | None) -> list[Doc]:
    pages = [
        repository.products.find({**base, **listing.terms}, sort=listing.sort, limit=limit, after=after)
        for base in listing.bases()
    ]
    return pages[0] if len(pages) == 1 else _sorted([*pages[0], *pages[1]], listing.sort)[:limit]


def _facets_of_list(listing: Listing, bound: int) -> tuple[Facets | None, int | None]:
    filters = [{**base, **listing.terms} for base in listing.bases()]
    if _count(filters, bound) > bound:
        return None, bound
    return count_facets([doc for where in filters for doc in read(where, 2 * bound)]), None


def _count(filters: Sequence[Filter], bound: int) -> int:
    """Return how many products meet one of the filters, or more than `bound`."""
    count = 0
    for where in filters:
        count += repository.products.count(where, up_to=bound + 1 - count)
        if count > bound:
            break
    return count


def read(where: Filter, at_most: int) -> Iterator[Doc]:
    """Yield up to `at_most` matches in the order of their ids."""
    after: Cursor | None = None
    while at_most > 0 and (page := repository.products.find(where, limit=min(at_most, MAX_PAGE_SIZE), after=after)):
        yield from page
        at_most, after = at_most - len(page), cursor_after(page, "_id")


def most_selective(listing: Listing, sources: Sequence[Sequence[Filter]], bound: int) -> list[Doc] | None:
    """Return the candidates from the source that has the fewest; None if each has more than `bound`."""
    fewest, best = bound + 1, None
    for source in sources:
        filters = [{**base, **each} for base in listing.bases() for each in source]
        if (count := _count(filters, fewest)) < fewest:
            fewest, best = count, filters
    if best is None:
        return None
    return [*{doc["_id"]: doc for where in best for doc in read(where, 2 * bound)}.values()]


def too_many(listing: Listing, bound: int, is_search: bool = False) -> InvalidInput:
    """Return the error for an order that no index has over so many products."""
    order = listing.sort.lstrip("-").removesuffix("Key")
    ways = "sort=relevance, or a narrower filter" if is_search else "one category alone, a narrower filter, or q"
    return InvalidInput(("sort", f"more than {bound} products match, and no index sorts them by {order}: use {ways}"))


def sort_key(doc: Doc, sort: str) -> list[Any]:
    """Return the place of a product in the order of a field."""
    return [doc[sort.lstrip("-")], doc["_id"]]


def page_of(
    docs: Sequence[Doc], key: Callable[[Doc], list[Any]], limit: int, after: list[Any] | None, descending: bool = False
) -> tuple[list[Doc], list[Any] | None]:
    """Return a page of these products, and the key behind which the next one begins; None if it is the last."""
    places = [(key(doc), doc) for doc in docs]
    if after:
        places = [(place, doc) for place, doc in places if (place < after if descending else place > after)]
    places.sort(key=lambda pair: pair[0], reverse=descending)
    page = places[:limit]
    return [doc for _, doc in page], page[-1][0] if len(places) > limit else None


def _sorted(docs: Sequence[Doc], sort: str) -> list[Doc]:
    return sorted(docs, key=lambda doc: sort_key(doc, sort), reverse=sort.startswith("-"))
