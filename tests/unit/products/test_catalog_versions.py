"""Products that release 0.2.0 stored: the present release reads, changes, prices and publishes them as they are."""

import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chassis.errors import NotFound
from chassis.events.outbox import EmbeddedOutbox
from chassis.money import Money
from chassis.store import Collection, Index, migration
from services.products import application, domain, repository, searching, vocabulary
from services.products.listing import Listing
from services.products.messages import PriceItems, ProductCreated, ProductUpdated

RELEASE_0_2_0 = {
    "_id": "mug",
    "name": "Émile mug",
    "description": "Steel",
    "price": 990,
    "currency": "EUR",
    "category": "kitchen",
    "words": ["emile", "mug", "steel"],
    "stock": 5,
    "deleted": False,
    "version": 1,
    "dedupKey": "",
    "createdAt": "2026-11-30T08:00:00.000Z",
    "updatedAt": "2026-11-30T08:00:00.000Z",
    "last_seq": {"inventory": 0},
    "seq": 1,
    "published": 0,
    "pending": 1,
    "slot": 5,
    "outbox": [{"seq": 1, "type": "product.created", "time": "2026-11-30T08:00:00.000Z", "data": {"productId": "mug"}}],
}
EARLIER = Collection("products", Index("deleted", "name"))
"""The collection as release 0.2.0 declared it."""


@pytest.fixture(autouse=True)
def products(store, fake_clock):
    repository.products.attach(store).ensure_indexes()
    for collection in (migration.records, vocabulary.words, vocabulary.state):
        collection.attach(store).ensure_indexes()
    vocabulary.forget()
    EARLIER.attach(store).insert(RELEASE_0_2_0)
    return repository.products


def stored():
    return EARLIER.get("mug")


def migrate():
    mine = migration.Migration(repository.products)
    mine.hold()
    return migration.finish(mine)


def listed(**where):
    return [doc["_id"] for doc in repository.products.find(repository.catalog() | where, sort="nameKey")]


def test_old_product_is_published_and_listed():
    assert repository.get_published("mug")["isPublished"] is True
    assert listed() == listed(category="kitchen") == listed(currency="EUR") == ["mug"]
    assert listed(currency="USD") == listed(category="garden") == []
    assert stored() == RELEASE_0_2_0


def test_old_product_is_changed_once_and_keeps_its_events():
    changed = application.change("mug", {"name": "Mug", "published": False}, None, "key")
    assert application.change("mug", {"name": "Mug", "published": False}, None, "key") == changed
    assert (changed["name"], changed["isPublished"], changed["version"]) == ("Mug", False, 2)
    assert changed["nameKey"] == domain.name_key("Mug")
    assert [entry["type"] for entry in stored()["outbox"]] == ["product.created", "product.updated"]
    assert stored()["outbox"][1]["data"]["published"] is False
    assert stored()["published"] == 0, "the field of the outbox is another one"
    assert listed() == []


def test_old_product_takes_the_stock_and_clears_its_outbox():
    repository.update_stock("mug", 3, 7)
    outbox = EmbeddedOutbox("products", repository.products)
    (pending,) = outbox.pending(range(16), 10)
    outbox.clear([(pending, 1)])
    assert (stored()["stock"], stored()["pending"], stored()["published"]) == (3, 0, 1)
    assert repository.get("mug")["isPublished"] is True


def test_old_product_can_be_deleted():
    application.delete("mug", None)
    with pytest.raises(NotFound):
        repository.get("mug")


def test_release_before_changes_a_rewritten_product():
    migrate()
    application.change("mug", {"published": False}, None, "first")
    was = stored()
    change = {"$set": {"name": "Zebra mug", "words": ["zebra", "mug"]}, "$inc": {"version": 1}}
    assert EARLIER.update("mug", change, when={"seq": was["seq"], "version": was["version"]})
    assert migrate()["rewritten"] == 1
    product = repository.get("mug")
    assert (product["nameKey"], product["isPublished"]) == (domain.name_key("Zebra mug"), False)
    assert application.change("mug", {"published": True}, None, "second")["version"] == 4


@pytest.mark.parametrize("is_published", [True, False])
def test_price_items_has_published_products_alone(is_published):
    command = PriceItems(product_ids=["mug", "none"])
    application.change("mug", {"published": is_published}, None, "key")
    assert [item.product_id for item in application.price_items(command).items] == ["mug"] * is_published


def test_migrated_product_is_the_same_to_every_reader():
    before = repository.get("mug")
    assert migrate()["rewritten"] == 1
    assert repository.get("mug") == before
    new = {"isPublished": True, "nameKey": "emile mug\x01Émile mug", "vendor": "", "tags": [], "_v": 4}
    new |= {"pictures": [], "pictureSources": [], "picturesDue": "", "isListed": True}
    new |= {"variantsDue": "", **repository.NO_VARIANTS}
    prefixes = "em emi emil emile mu mug ki kit kitc kitch kitche kitchen".split()
    words = ["emile", "mug", "kitchen", "steel"]
    assert stored() == {**RELEASE_0_2_0, **new, "words": words, "prefixes": prefixes}
    assert migrate()["rewritten"] == 0


def searched(*words):
    found = searching.find(Listing(sort=searching.RELEVANCE), words, 10, None, False)
    return [doc["_id"] for doc in found.docs], found.did_you_mean


def test_old_product_is_found_by_prefix_and_typo_after_the_migration(fake_clock):
    assert (searched("emile"), searched("steel")) == ((["mug"], None), (["mug"], None)), "by what it has stored"
    assert searched("emi") == searched("emlie") == searched("kitchen") == ([], None)
    vocabulary.rebuild_if_due()
    fake_clock.pass_time(1)
    change = {"$set": {"name": "Zebra mug", "words": ["zebra", "mug", "steel"]}}
    assert EARLIER.update("mug", change), "a process of the release before works on"
    migrate()
    fake_clock.pass_time(1)
    vocabulary.rebuild_if_due()
    assert searched("zeb") == searched("kitchen") == searched("mugs") == (["mug"], None)
    assert searched("zebar") == (["mug"], "zebra")
    assert searched("emile") == ([], None)


def test_vocabulary_is_rebuilt_daily_and_after_a_migration_and_not_otherwise(fake_clock):
    def is_rebuilt():
        fake_clock.pass_time(1)
        vocabulary.words.delete("steel")
        vocabulary.rebuild_if_due()
        return vocabulary.words.get("steel") is not None

    assert is_rebuilt() and not is_rebuilt()
    migrate()
    assert is_rebuilt() and not is_rebuilt()
    migrate()
    assert not is_rebuilt(), "the pass rewrote nothing"
    fake_clock.pass_time(vocabulary.REBUILD_AFTER_S)
    assert is_rebuilt() and not is_rebuilt()
    until = vocabulary.clock.timestamp_in(vocabulary.LEASE_S)
    vocabulary.state.update("rebuild", {"$set": {"rebuiltAt": "", "until": until}})
    assert not is_rebuilt(), "another worker is at it"
    fake_clock.pass_time(vocabulary.LEASE_S)
    assert is_rebuilt()


def test_worker_migrates_until_it_is_stopped(products):
    stop = threading.Event()
    worker = threading.Thread(target=migration.run, args=([products], stop))
    worker.start()
    try:
        while migration.Migration(products).record()["rewritten"] < 1:
            assert worker.is_alive()
    finally:
        stop.set()
        worker.join()
    assert stored()["_v"] == products.versions.current


def test_pass_is_repeated_soon_after_one_that_rewrote_something(products, fake_clock):
    mine = migration.Migration(products)
    assert mine.is_due()
    migrate()
    assert not mine.is_due()
    fake_clock.pass_time(migration.REPEAT_S + 1)
    assert mine.is_due()
    migrate()
    fake_clock.pass_time(migration.REPEAT_S + 1)
    assert not mine.is_due()
    fake_clock.pass_time(migration.RECHECK_S)
    assert mine.is_due()


def test_a_new_product_has_the_shape_of_a_migrated_one():
    migrate()
    application.insert("jug", domain.Details("Jug"), Money(500, "EUR"), 1)
    assert EARLIER.get("jug").keys() == stored().keys()


def test_events_say_whether_the_product_is_published():
    for id, published in (("jug", True), ("cup", False)):
        doc = application.insert(id, domain.Details(id), Money(500, "EUR"), 1, published)
        assert doc["outbox"][0]["data"]["published"] is published
    old = {"productId": "mug", "name": "Mug", "price": "9.90", "currency": "EUR", "category": ""}
    assert (
        ProductUpdated.model_validate(old).published
        and ProductCreated.model_validate(old | {"initialStock": 1}).published
    )


@pytest.mark.parametrize("sort", ["nameKey", "price", "-price", "-createdAt"])
@pytest.mark.parametrize("category", [None, "kitchen"])
def test_a_public_list_is_read_from_one_index_in_its_order(products, sort, category):
    where = repository.catalog()
    if category:
        where["category"] = category
    if "price" in sort:
        where |= {"currency": "EUR", "price": {"$gte": 1}}
    value = 5 if "price" in sort else "x"
    query, values = products.store._table(products).find(where, sort, 20, (value, "a"))
    plan = [row[3] for row in products.store._file.read(f"EXPLAIN QUERY PLAN {query}", values)]
    assert len(plan) == 1 and plan[0].startswith("SEARCH products USING INDEX"), plan


NAME = TypeAdapter(domain.Name)


def is_name(text):
    try:
        NAME.validate_python(text)
    except ValidationError:
        return False
    return True


texts = st.text(
    alphabet=st.sampled_from("aAbzßẞÉé\u0301e ~!-ŒœﬁİIiıΣςσ가\U0001d400Ω\u1fb3\x7f\x01"), max_size=4
) | st.text(max_size=6)
product_names = texts.filter(is_name)


def without_marks(name):
    return "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char)).casefold()


@given(product_names, product_names)
def test_name_keys_order_as_folded_names_and_then_names(one, other):
    expected = (without_marks(one), one) < (without_marks(other), other)
    assert (domain.name_key(one).encode() < domain.name_key(other).encode()) == expected
    assert (domain.name_key(one) == domain.name_key(other)) == (one == other)
    assert domain.name_key(one)


def test_names_sort_as_a_person_expects():
    names = ["Zebra", "apple", "Äpfel", "apple pie", "Apple", "éclair", "Eclair", "zoo"]
    ordered = ["Äpfel", "Apple", "apple", "apple pie", "Eclair", "éclair", "Zebra", "zoo"]
    assert sorted(names, key=domain.name_key) == ordered
