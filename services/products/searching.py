"""Searches of the catalog: the words of a query, their corrections, and the ranking of what they find.

A product is found if it has each word; of the last one, the first letters of a word of its name, category or vendor
are enough. If nothing is found, words that no product has are corrected by the vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, NamedTuple

from chassis.store import MAX_PAGE_SIZE, Cursor, Doc, Filter
from chassis.store.documents import matches
from services.products import listing, repository, search_text, vocabulary
from services.products.facets import count_facets
from services.products.listing import MAX_CANDIDATES, Found, Listing, most_selective

MAX_UNKNOWN_WORDS, MAX_CORRECTED_QUERIES = 3, 6
"""Words of a query that are corrected, and the combinations of corrections that are tried."""
MIN_PAGE_SIZE = 20
"""Products that are read at once to see whether there are more candidates."""
RELEVANCE = "relevance"


@dataclass(frozen=True)
class Search:
    """The words that a product must have; those that are `corrected` are whole words."""

    words: tuple[str, ...]
    corrected: frozenset[str] = frozenset()

    def filters(self) -> Iterator[Filter]:
        """Yield filters, one of which a product meets; the first is that of the better matches."""
        *others, last = self.words
        first_letters = last[: search_text.MAX_PREFIX_CHARS]
        whole = {"words": {"$all": others}} if others else {}
        prefix = {"prefixes": {"$all": [first_letters]}} if len(last) >= search_text.MIN_PREFIX_CHARS else {}
        if last not in self.corrected and (whole or prefix):
            yield whole | prefix
        yield {"words": {"$all": [*self.words]}}

    def finds(self, doc: Doc) -> bool:
        """Return whether a product has the words."""
        *others, last = self.words
        words: list[str] = doc["words"]
        if not all(word in words for word in others):
            return False
        if last in words:
            return True
        prefixes: list[str] = doc["prefixes"]
        if last in self.corrected:
            return False
        if len(last) < search_text.MIN_PREFIX_CHARS:
            return bool(others) and any(prefix.startswith(last) for prefix in prefixes)
        if len(last) <= search_text.MAX_PREFIX_CHARS:
            return last in prefixes
        return last[: search_text.MAX_PREFIX_CHARS] in prefixes and any(word.startswith(last) for word in words)

    def rank(self, doc: Doc) -> list[Any]:
        """Return the place of a product: in stock first, then the best match, then the shortest name."""
        score = search_text.score(doc, self.words, self.corrected)
        return [int(doc["stock"] <= 0), -score, len(search_text.name_words(doc)), doc["_id"]]


class _Candidates(NamedTuple):
    """What a search finds; if that is only the first part of it, `last_ids` are where each filter stopped."""

    docs: list[Doc]
    last_ids: list[str] | None = None


def find(
    where: Listing,
    words: Sequence[str],
    limit: int,
    after: list[Any] | None,
    with_facets: bool,
    max_candidates: int = MAX_CANDIDATES,
) -> Found:
    """Return a page of what the words find in a list, in its order or by relevance.

    `after` holds a place, the words, which of them are corrected, and where the candidates end: so all pages are of the
    same search. Raises InvalidInput if too many products match for an order other than relevance.
    """
    if after:
        place, typed, corrected, last_ids = after
        search = Search(tuple(typed), frozenset(corrected))
        found = _Candidates(_read_again(where, search, last_ids)) if last_ids else None
        found = found or _candidates(where, search, 2 * max_candidates)
    else:
        place, last_ids = None, None
        search = Search(tuple(_best_form(where, word, max_candidates) for word in words))
        found = _candidates(where, search, max_candidates)
        if not found.docs:
            search, found = _corrected(where, search, max_candidates)
    last_ids = last_ids or found.last_ids
    if where.sort != RELEVANCE and last_ids:
        raise listing.too_many(where, max_candidates, is_search=True)
    if where.sort == RELEVANCE:
        page, place = listing.page_of(found.docs, search.rank, limit, place)
    else:
        is_descending = where.sort.startswith("-")
        page, place = listing.page_of(
            found.docs, lambda doc: listing.sort_key(doc, where.sort), limit, place, is_descending
        )
    return Found(
        page,
        [place, search.words, sorted(search.corrected), last_ids] if place else None,
        count_facets(found.docs) if with_facets and not last_ids else None,
        max_candidates if last_ids else None,
        " ".join(search.words) if search.corrected and found.docs else None,
    )


def _candidates(where: Listing, search: Search, bound: int) -> _Candidates:
    """Return all that the search finds, or if no index has so few candidates, the first `bound`."""
    few = most_selective(where, [[*search.filters()], *where.sources()], bound)
    if few is not None:
        return _Candidates([doc for doc in few if matches(doc, where.terms) and search.finds(doc)])
    found: dict[str, Doc] = {}
    last_ids: list[str] = []
    for base, each in _filters(where, search):
        last_id = ""
        after: Cursor | None = None
        while page := repository.products.find(
            {**base, **where.terms, **each}, limit=_page_size(bound - len(found)), after=after
        ):
            for doc in page:
                if doc["_id"] not in found and len(found) == bound:
                    return _Candidates(_found(found, search), [*last_ids, last_id])
                found[doc["_id"]] = doc
                last_id = doc["_id"]
            after = (last_id, last_id)
        last_ids.append(last_id)
    return _Candidates(_found(found, search))


def _page_size(missing: int) -> int:
    """Return how many products to read where so many are missing: one more shows that there are more."""
    return min(max(missing, MIN_PAGE_SIZE), MAX_PAGE_SIZE)


def _read_again(where: Listing, search: Search, last_ids: Sequence[str]) -> list[Doc]:
    """Return the candidates of the first page, as they are now."""
    found: dict[str, Doc] = {}
    for (base, each), last_id in zip(_filters(where, search), last_ids, strict=False):
        until = {**base, **where.terms, **each, "_id": {"$lte": last_id}}
        found |= {doc["_id"]: doc for doc in repository.products.iterate(until)}
    return _found(found, search)


def _filters(where: Listing, search: Search) -> list[tuple[Filter, Filter]]:
    return [(base, each) for each in search.filters() for base in where.bases()]


def _found(docs: dict[str, Doc], search: Search) -> list[Doc]:
    return [doc for doc in docs.values() if search.finds(doc)]


def _best_form(where: Listing, word: str, bound: int) -> str:
    """Return the word or one of its singulars: the one that most products have, a singular if they are equal."""
    forms = [*search_text.singulars(word), word]
    if len(forms) == 1:
        return word
    return max(forms, key=lambda form: _count(where, {"words": {"$all": [form]}}, bound))


def _count(where: Listing, each: Filter, up_to: int) -> int:
    return sum(repository.products.count({**base, **each}, up_to=up_to) for base in where.bases())


def _corrected(where: Listing, search: Search, bound: int) -> tuple[Search, _Candidates]:
    """Return the search with corrections that finds the best match; the given one if none finds anything."""
    unknown = [word for word in dict.fromkeys(search.words) if not _count(where, {"words": {"$all": [word]}}, 1)]
    first_letters = {"prefixes": {"$all": [search.words[-1][: search_text.MAX_PREFIX_CHARS]]}}
    if search.words[-1] in unknown and _count(where, first_letters, 1):
        unknown.remove(search.words[-1])
    best, found, best_score = search, _Candidates([]), 0
    if not 0 < len(unknown) <= MAX_UNKNOWN_WORDS:
        return best, found
    for combination in islice(product(*map(vocabulary.corrections, unknown)), MAX_CORRECTED_QUERIES):
        replaced = dict(zip(unknown, combination, strict=True))
        words = tuple(dict.fromkeys(replaced.get(word, word) for word in search.words))
        tried = Search(words, frozenset(combination))
        candidates = _candidates(where, tried, bound)
        score = max((search_text.score(doc, words, tried.corrected) for doc in candidates.docs), default=0)
        if score > best_score:
            best, found, best_score = tried, candidates, score
    return best, found
