"""Judged queries over the catalog of the demo: what a shopper means is among the first three products."""

import re
import unicodedata
from pathlib import Path

import pytest
from judged_queries import BY_KIND, QUERIES

from chassis.money import Money
from services.products import application, domain, search_text, searching, shopify, vocabulary
from services.products.listing import Listing
from services.products.repository import products

CATALOG = Path(__file__).parents[3] / "data" / "catalog.csv"
BAR = 0.95
FIRST = 3


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    from chassis.store.sqlite.store import SqliteStore

    store = SqliteStore(tmp_path_factory.mktemp("catalog") / "store.db")
    for collection in (products, vocabulary.words, vocabulary.state):
        collection.attach(store).ensure_indexes()
    vocabulary.forget()
    for row in shopify.parse(CATALOG.read_text()).rows:
        if isinstance(row, shopify.Item):
            body = row.body
            details = domain.Details(
                body["name"], body["description"], body["category"], body["vendor"], tuple(body["tags"])
            )
            application.insert(body["id"], details, Money.parse(body["price"], "EUR"), body["stock"])
    yield
    vocabulary.forget()
    store.close()


def found(query):
    page = searching.find(Listing(sort=searching.RELEVANCE), search_text.split(query), FIRST, None, False)
    return [doc["_id"] for doc in page.docs]


def found_by_release_0_2_0(query):
    """All words, exact but for case and accents, in name and description; by name."""
    folded = unicodedata.normalize("NFKD", query).casefold()
    plain = "".join(char for char in folded if not unicodedata.combining(char))
    wanted = set(re.findall(r"\w+", plain))
    hits = [doc for doc in products.iterate() if wanted <= set(search_text.split(doc["name"], doc["description"]))]
    return [doc["_id"] for doc in sorted(hits, key=lambda doc: doc["nameKey"])][:FIRST]


def success(search, queries):
    return sum(bool(QUERIES[query] & set(search(query))) for query in queries) / len(queries)


def test_success_at_3_meets_the_bar(catalog):
    for kind, queries in BY_KIND.items():
        before, now = success(found_by_release_0_2_0, queries), success(found, queries)
        missed = [query for query in queries if not QUERIES[query] & set(found(query))]
        print(f"{kind}: {before:.2f} in release 0.2.0, {now:.2f} now {missed or ''}")
    before, now = success(found_by_release_0_2_0, QUERIES), success(found, QUERIES)
    print(f"success@{FIRST}: {before:.3f} in release 0.2.0, {now:.3f} now")
    assert now >= BAR > before
