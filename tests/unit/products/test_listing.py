"""Lists and searches against brute force: facets on both sides of the bound, and pages while products change."""

from collections import Counter
from itertools import count
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.errors import InvalidInput
from chassis.money import Money
from chassis.store.documents import matches
from services.products import application, domain, listing, repository, search_text, searching, vocabulary
from services.products.listing import Listing
from services.products.repository import products
from tests.sizes import by_form

BOUND = 6
CATEGORIES, VENDORS, TAGS, CURRENCIES = ("cups", "pans", ""), ("Fell", "Ash", ""), ("red", "steel"), ("EUR", "USD")
NAMES = ("Mug", "Red mug", "Steel mug", "Pan", "Lantern", "Mugs", "Étagère")
SORTS = ("nameKey", "price", "-price", "-createdAt")
RELEVANCE = searching.RELEVANCE
PLAIN = {
    "name": "Mug",
    "category": "cups",
    "vendor": "Fell",
    "tags": [],
    "currency": "EUR",
    "price": 1,
    "stock": 1,
    "published": True,
}
numbers = count()

bodies = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "category": st.sampled_from(CATEGORIES),
        "vendor": st.sampled_from(VENDORS),
        "tags": st.lists(st.sampled_from(TAGS), max_size=2),
        "currency": st.sampled_from(CURRENCIES),
        "price": st.integers(1, 3),
        "stock": st.integers(0, 2),
        "published": st.booleans() | st.just(True),
    }
)
terms_of_filters = st.fixed_dictionaries(
    {},
    optional={
        "category": st.sampled_from(CATEGORIES) | st.just({"$in": ["cups", "pans"]}),
        "vendor": st.sampled_from(VENDORS) | st.just({"$in": ["Ash", "Fell"]}),
        "tags": st.lists(st.sampled_from(TAGS), min_size=1, unique=True).map(lambda tags: {"$all": tags}),
        "currency": st.sampled_from(CURRENCIES),
        "stock": st.sampled_from([{"$gt": 0}, {"$lte": 1}, {"$gt": 0, "$lte": 1}]),
    },
)
queries = st.sampled_from(["", "mug", "mugs", "red mu", "la", "fell", "lantrn", "etag", "none"])


@pytest.fixture(autouse=True)
def catalog(store, fake_clock):
    for collection in (products, vocabulary.words, vocabulary.state):
        collection.attach(store).ensure_indexes()
    vocabulary.forget()


def insert(body, id=""):
    id = id or f"p{next(numbers):06}"
    details = domain.Details(body["name"], category=body["category"], vendor=body["vendor"], tags=tuple(body["tags"]))
    price = Money(body["price"], body["currency"])
    return application.insert(id, details, price, body["stock"], body["published"])["_id"]


def clear():
    for doc in list(products.iterate()):
        products.delete(doc["_id"])


def with_currency(terms, sort):
    return {"currency": "EUR", **terms} if "price" in sort else terms


def page(where, query, limit=100, after=None, with_facets=False, bound=BOUND):
    words = search_text.split(query)
    if words:
        return searching.find(where, words, limit, after, with_facets, bound)
    return listing.find(where, limit, after, with_facets, bound)


def has(doc, word, fields):
    return any(form in doc[name] for form in (word, *search_text.singulars(word)) for name in fields)


def brute_force(where, query):
    """Return the listed products that a list or search has, from all products and by definition."""
    *others, last = search_text.split(query) or [""]
    return [
        doc
        for doc in products.iterate()
        if not doc["deleted"]
        and (doc["isPublished"] or where.include_unpublished)
        and matches(doc, where.terms)
        and all(has(doc, word, ("words",)) for word in others)
        and (not last or has(doc, last, ("words", "prefixes")))
    ]


@settings(max_examples=by_form(60, 2000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(bodies, max_size=2 * BOUND), terms_of_filters, st.sampled_from(SORTS), queries, st.booleans())
def test_facets_are_those_of_all_that_is_found_or_absent(shelf, terms, sort, query, include_unpublished):
    clear()
    for body in shelf:
        insert(body)
    sort = RELEVANCE if query else sort
    where = Listing(with_currency(terms, sort), sort, include_unpublished)
    expected = brute_force(where, query)
    try:
        found = page(where, query, with_facets=True)
    except InvalidInput as error:
        smallest = min(len(brute_force(Listing(each, "", include_unpublished), "")) for [each] in where.sources())
        assert not query and not where.is_indexed() and smallest > BOUND
        assert error.extra["errors"][0]["field"] == "sort"
        return
    if found.did_you_mean:
        assert not expected
        return
    if found.more_than:
        assert (found.more_than, found.facets) == (BOUND, None)
        assert len(expected) > BOUND or query
        return
    assert sorted(doc["_id"] for doc in found.docs) == sorted(doc["_id"] for doc in expected)
    facets = found.facets
    assert dict(facets.categories) == Counter(doc["category"] for doc in expected if doc["category"])
    assert dict(facets.vendors) == Counter(doc["vendor"] for doc in expected if doc["vendor"])
    assert dict(facets.tags) == Counter(tag for doc in expected for tag in doc["tags"])
    bounds = {currency: [doc["price"] for doc in expected if doc["currency"] == currency] for currency in CURRENCIES}
    assert facets.prices == [(each, min(found), max(found)) for each, found in sorted(bounds.items()) if found]


def test_facets_stop_exactly_above_the_bound():
    for number in range(BOUND):
        insert({**PLAIN, "name": f"Mug {number}"})
    for query in ("", "mug"):
        where = Listing(sort=RELEVANCE if query else "nameKey")
        assert page(where, query, with_facets=True).facets.categories == [("cups", BOUND)]
    insert(PLAIN)
    for query in ("", "mug"):
        where = Listing(sort=RELEVANCE if query else "nameKey")
        found = page(where, query, with_facets=True)
        assert (found.facets, found.more_than) == (None, BOUND)


ANY_SIZE = [
    *((terms, sort, "") for terms in ({}, {"category": "cups"}) for sort in SORTS),
    *((terms, RELEVANCE, "mug") for terms in ({}, {"category": "cups"}, {"vendor": {"$in": ["Ash", "Fell"]}})),
]


@pytest.mark.parametrize(("terms", "sort", "query"), ANY_SIZE)
def test_pages_have_each_unchanged_product_once_while_others_change(terms, sort, query):
    random = Random(repr((terms, sort, query)))
    kept = [insert({**PLAIN, "name": f"Mug {number}", "price": number % 4}) for number in range(3 * BOUND)]
    moving = [insert({**PLAIN, "name": f"Mug {number}"}) for number in range(BOUND)]
    where, after, seen = Listing(with_currency(terms, sort), sort), None, []
    first = page(where, query, 4)
    candidates = kept if sort != RELEVANCE else [id for id in sorted(kept + moving)[:BOUND] if id in kept]
    while True:
        found = page(where, query, 4, after) if after else first
        seen += [doc["_id"] for doc in found.docs]
        if (after := found.after) is None:
            break
        change = random.choice(["insert", "delete", "rename", "price", "stock"])
        one = random.choice(moving)
        if change == "insert":
            insert({**PLAIN, "name": f"Mug {random.randrange(99)}", "price": random.randrange(4)}, f"a{next(numbers)}")
        elif repository.products.get(one)["deleted"]:
            continue
        elif change == "delete":
            application.delete(one, None)
        elif change == "stock":
            repository.update_stock(one, random.randrange(2), next(numbers) + 1)
        else:
            new = {"name": f"Aaa mug {next(numbers)}"} if change == "rename" else {"price": f"0.0{random.randrange(9)}"}
            application.change(one, new, None, str(next(numbers)))
    assert [id for id in kept if seen.count(id) > 1] == []
    assert [id for id in candidates if id not in seen] == []


@pytest.mark.parametrize("sort", [*SORTS, "stock"])
def test_what_no_index_sorts_is_rejected_with_a_way_out(sort):
    for number in range(BOUND + 1):
        insert({**PLAIN, "name": f"Mug {number}"})
    where = Listing(with_currency({"tags": {"$all": ["red"]}}, sort), sort)
    assert page(where, "").docs == [], "no product has the tag: there are no candidates"
    for number in range(BOUND + 1):
        insert({**PLAIN, "name": f"Pan {number}", "tags": ["red"]})
    with pytest.raises(InvalidInput, match="fields") as caught:
        page(where, "")
    (error,) = caught.value.extra["errors"]
    assert (
        error["field"] == "sort" and f"more than {BOUND} products" in error["reason"] and "category" in error["reason"]
    )
    with pytest.raises(InvalidInput) as caught:
        page(where, "pan")
    assert "sort=relevance" in caught.value.extra["errors"][0]["reason"]
    assert len(page(Listing({"tags": {"$all": ["red"]}}, RELEVANCE), "pan").docs) == BOUND
    few = Listing(with_currency({"tags": {"$all": ["red"]}, "vendor": "Ash"}, sort), sort)
    insert({**PLAIN, "name": "Red pan", "tags": ["red"], "vendor": "Ash"})
    assert [doc["name"] for doc in page(few, "").docs] == ["Red pan"], "the vendor has few products"


def test_list_that_outgrows_the_bound_while_it_is_read_ends():
    for number in range(BOUND):
        insert({**PLAIN, "name": f"Mug {number}", "tags": ["red"]})
    where = Listing({"tags": {"$all": ["red"]}})
    first = page(where, "", 4)
    insert({**PLAIN, "name": "Zzz", "tags": ["red"]})
    assert [doc["name"] for doc in page(where, "", 4, first.after).docs] == ["Mug 4", "Mug 5", "Zzz"]


def test_ranking():
    def ranked(query):
        return [doc["_id"] for doc in page(Listing(sort=RELEVANCE), query, bound=1000).docs]

    insert({**PLAIN, "name": "Kettle", "category": "lanterns"}, "category")
    insert({**PLAIN, "name": "Lanternhouse"}, "prefix")
    insert({**PLAIN, "name": "Garden lantern"}, "exact")
    insert({**PLAIN, "name": "Lantern", "stock": 0}, "sold-out")
    insert({**PLAIN, "name": "Lantern"}, "name")
    described = domain.Details("Hook", "holds a lantern")
    application.insert("description", described, Money(1, "EUR"), 1)
    assert ranked("lantern") == ["name", "exact", "prefix", "category", "description", "sold-out"]
    assert ranked("lanter") == ["name", "prefix", "exact", "category", "sold-out"]
    assert ranked("lantren") == ["name", "exact", "category", "description", "sold-out"], "the whole word"
    assert page(Listing(sort=RELEVANCE), "lantren").did_you_mean == "lantern"


def test_correction_finds_nothing_that_is_not_listed():
    insert({**PLAIN, "name": "Zephyr", "published": False})
    gone = insert({**PLAIN, "name": "Quokka"})
    application.delete(gone, None)
    for query in ("zephir", "zephyr", "quoka", "quokka"):
        found = page(Listing(sort=RELEVANCE), query)
        assert (found.docs, found.did_you_mean) == ([], None)
    found = page(Listing(sort=RELEVANCE, include_unpublished=True), "zephir")
    assert found.did_you_mean == "zephyr"


def test_rebuild_adds_words_of_old_products_and_drops_unused_ones(fake_clock):
    insert({**PLAIN, "name": "Lantern"})
    gone = insert({**PLAIN, "name": "Quokka"})
    vocabulary.words.delete("lantern")
    application.delete(gone, None)
    vocabulary.rebuild()
    assert vocabulary.words.get("lantern") and vocabulary.words.get("quokka"), "a new one may be of a product to come"
    fake_clock.pass_time(vocabulary.DROP_AFTER_S + 1)
    vocabulary.rebuild()
    assert vocabulary.words.get("lantern") and not vocabulary.words.get("quokka")


def test_words_of_another_process_are_known():
    insert({**PLAIN, "name": "Lantern"})
    assert vocabulary.corrections("lantrn") == ["lantern"]
    vocabulary.words.insert({"_id": "kettle", "addedAt": vocabulary.clock.timestamp()})
    assert vocabulary.corrections("kettel") == ["kettle"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lantrn", "lantern"),
        ("lanttern", "lantern"),
        ("lamtern", "lantern"),
        ("lnatern", "lantern"),
        ("lntrn", None),
        ("headlmp", "headlamp"),
        ("hedlmap", None),
        ("haedlmap", "headlamp"),
        ("tend", "tent"),
        ("te", None),
        ("tent1", None),
        ("x" * 30, None),
    ],
)
def test_typos_of_one_letter_are_corrected_and_of_two_in_long_words(typed, meant):
    insert({**PLAIN, "name": "Lantern headlamp tent"})
    assert vocabulary.corrections(typed) == ([meant] if meant else [])


def test_ranked_candidates_stay_those_of_the_first_page():
    ranked = [insert({**PLAIN, "name": f"Mug {number}"}) for number in range(BOUND + 3)][:BOUND]
    where = Listing(sort=RELEVANCE)
    first = page(where, "mug", 4)
    for number in range(3 * BOUND):
        insert({**PLAIN, "name": "Mug"}, f"a{number:03}")
    second = page(where, "mug", 4, first.after)
    assert [doc["_id"] for doc in (*first.docs, *second.docs)] == ranked
    assert (first.more_than, second.more_than, second.after) == (BOUND, BOUND, None)


def test_pages_of_a_correction_keep_its_words():
    """Although what was typed is a word now."""
    for number in range(3):
        insert({**PLAIN, "name": f"Lantern {number}"})
    where = Listing(sort=RELEVANCE)
    first = page(where, "lantrn", 2)
    insert({**PLAIN, "name": "Lantrn"})
    second = page(where, "lantrn", 2, first.after)
    assert [doc["name"] for doc in (*first.docs, *second.docs)] == ["Lantern 0", "Lantern 1", "Lantern 2"]
    assert second.did_you_mean == "lantern"
