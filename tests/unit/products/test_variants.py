"""Variants: orderable under their own ids, shown once by their product, and complete whatever dies."""

from functools import partial

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chassis import calls, clock
from chassis.errors import InvalidInput, NotAttempted, NotFound
from chassis.events.envelope import Meta
from chassis.store.sqlite.store import SqliteStore
from chassis.web.auth import Caller
from services.inventory import application as inventory
from services.inventory import handlers as inventory_handlers
from services.inventory import repository as stocks
from services.inventory.messages import AdjustStock, StockChanged, StockProduct, StockProducts
from services.products import (
    application,
    domain,
    handlers,
    listing,
    repository,
    searching,
    shopify,
    variants,
    vocabulary,
)
from services.products.imports_api import ProductImport, import_products
from services.products.listing import Listing
from services.products.messages import PriceItems, ProductCreated, ProductDeleted, ProductUpdated
from services.products.variant_rules import HasVariants, NewVariant, option_names
from services.products.views import view

SIZES = (("mug-s", "Small", 1290, 4), ("mug-l", "Large", 1490, 6))


class Inventory:
    """The client of other services, which hands commands to the code of `inventory`."""

    is_down = False

    def send(self, command, key, attempts=0, stale_s=0.0):
        if self.is_down:
            raise NotAttempted("inventory cannot be reached")
        handle = {StockProduct: inventory.stock_product, AdjustStock: inventory.adjust_stock}
        return handle.get(type(command), inventory.stock_products)(command)


def attach(store):
    for collection in (repository.products, vocabulary.words, vocabulary.state, stocks.stock, stocks.reservations):
        collection.attach(store).ensure_indexes()
    vocabulary.forget()


@pytest.fixture(autouse=True)
def client(store, fake_clock):
    attach(store)
    calls.use(client := Inventory())
    yield client
    calls.use(None)


def create(id="mug", sizes=SIZES, prefix="", published=True):
    new = [NewVariant(f"{prefix}{name}", (size,), price, stock, f"SKU-{name}") for name, size, price, stock in sizes]
    details = domain.Details("Camp mug", "Enamel", "Cooking", "Fell", ("steel",))
    return variants.create(id, details, "EUR", ["Size"], new, published)


def shown(id):
    doc = repository.get_published(id)
    return view(doc, repository.parent_of(doc))


def events(id):
    return [(entry["type"], entry["data"].get("parentId")) for entry in repository.products.get(id)["outbox"]]


def listed(**terms):
    return [doc["_id"] for doc in listing.find(Listing(terms), 100, None, False).docs]


def priced(*ids):
    reply = application.price_items(PriceItems(product_ids=list(ids)))
    return {item.product_id: (item.name, item.price) for item in reply.items}, reply.with_variants


def deliver():
    """Handle all events that are pending in both services, each at least once."""
    deliver_stocks()
    deliver_products()


def deliver_stocks():
    for doc in list(stocks.stock.iterate({"pending": {"$gt": 0}})):
        event = StockChanged(product_id=doc["_id"], available=doc["available"])
        handlers.on_stock_changed(event, Meta("", "inventory", "", "", doc["_id"], doc["seq"]))


def deliver_products():
    types = {event.type: event for event in (ProductCreated, ProductUpdated, ProductDeleted)}
    for doc in list(repository.products.iterate({"pending": {"$gt": 0}})):
        for entry in doc["outbox"]:
            handlers.on_product_changed(types[entry["type"]].read(entry["data"]), None)
    for id in [doc["_id"] for doc in repository.products.iterate() if doc["deleted"]]:
        inventory_handlers.on_product_deleted(ProductDeleted(product_id=id), None)


def test_product_with_variants_shows_them_and_each_is_orderable():
    create()
    product = shown("mug")
    assert (product.price, product.stock, product.in_stock, product.parent_id) == ("12.90", 10, True, None)
    assert [option.model_dump() for option in product.options] == [{"name": "Size", "values": ["Small", "Large"]}]
    assert [(each.id, each.options, each.price, each.sku, each.stock) for each in product.variants] == [
        ("mug-s", {"Size": "Small"}, "12.90", "SKU-mug-s", 4),
        ("mug-l", {"Size": "Large"}, "14.90", "SKU-mug-l", 6),
    ]
    large = shown("mug-l")
    assert (large.id, large.name, large.price, large.stock) == ("mug-l", "Camp mug - Large", "14.90", 6)
    assert (large.parent_id, large.description, large.tags, large.vendor) == ("mug", "Enamel", ["steel"], "Fell")
    assert large.variants == product.variants
    assert priced("mug-s", "mug-l", "mug") == (
        {"mug-s": ("Camp mug - Small", 1290), "mug-l": ("Camp mug - Large", 1490)},
        ["mug"],
    )
    assert (stocks.stock.get("mug-l")["available"], stocks.stock.get("mug")) == (6, None)


def test_events_are_those_of_the_variants():
    create()
    application.change("mug", {"name": "Tin mug"}, None, "k1")
    application.change("mug-l", {"price": "15.00"}, None, "k2")
    assert events("mug") == []
    assert events("mug-s") == [("product.created", "mug"), ("product.updated", "mug")]
    assert events("mug-l") == [("product.created", "mug"), *[("product.updated", "mug")] * 2]
    assert priced("mug-s")[0] == {"mug-s": ("Tin mug - Small", 1290)}
    application.insert("jug", domain.Details("Jug"), domain.parse_price("5", "EUR"), 1)
    assert events("jug") == [("product.created", None)]


def test_lists_searches_and_facets_have_the_product_once():
    create()
    assert listed() == listed(tags={"$all": ["steel"]}) == listed(category="Cooking") == ["mug"]
    assert listing.count_categories() == {"Cooking": 1}
    for words in (["mug"], ["large"], ["camp", "sma"]):
        found = searching.find(Listing(sort=searching.RELEVANCE), words, 10, None, True)
        assert [doc["_id"] for doc in found.docs] == ["mug"]
        assert (found.facets.categories, found.facets.prices) == ([("Cooking", 1)], [("EUR", 1290, 1290)])
    by_id = listing.find_by_ids(["mug-l", "mug", "none"], include_unpublished=False)
    assert [doc["_id"] for doc in by_id] == ["mug-l", "mug"]


def test_fields_are_changed_where_they_belong():
    create()
    for id, field in (("mug", "price"), ("mug", "sku"), ("mug", "currency"), ("mug-l", "name"), ("mug-l", "published")):
        value = {"currency": "USD", "published": False}.get(field, "5")
        with pytest.raises(InvalidInput):
            application.change(id, {field: value}, None, "k")
    with pytest.raises(HasVariants):
        application.adjust_stock("mug", 1, "k", "", "")
    assert application.adjust_stock("mug-l", -6, "k", "", "")["stock"] == 0
    application.change("mug-s", {"price": "11.00", "sku": "NEW"}, None, "k")
    product = shown("mug")
    assert (product.price, product.stock, product.variants[0].sku) == ("11.00", 4, "NEW")


def test_unpublished_or_deleted_product_sells_none_of_its_variants():
    create()
    application.change("mug", {"published": False}, None, "k1")
    assert priced("mug-s", "mug-l") == ({}, []) and listed() == []
    with pytest.raises(NotFound):
        repository.get_published("mug-l")
    application.change("mug", {"published": True}, None, "k2")
    assert len(priced("mug-s", "mug-l")[0]) == 2
    application.delete("mug-s", None)
    assert [each.id for each in shown("mug").variants] == ["mug-l"] and shown("mug").price == "14.90"
    application.delete("mug", None)
    assert priced("mug-s", "mug-l", "mug") == ({}, []) and listed() == []
    assert events("mug-s")[-1] == events("mug-l")[-1] == ("product.deleted", "mug")


def test_variants_have_the_same_options_and_differ():
    assert option_names([{"Size": "S", "Color": "Red"}, {"Color": "Red", "Size": "M"}]) == ("Size", "Color")
    for wrong in ([{"Size": "S"}, {"Color": "S"}], [{"Size": "S"}, {"Size": "s"}], [{"Size": "S"}, {}]):
        with pytest.raises(InvalidInput) as caught:
            option_names(wrong)
        assert caught.value.extra["errors"][0]["field"] == "variants[1].options"


def test_outage_of_inventory_shows_no_product_that_cannot_be_ordered(client, fake_clock):
    client.is_down = True
    with pytest.raises(NotAttempted):
        create()
    with pytest.raises(NotFound):
        repository.get_published("mug")
    assert listed() == [] and repository.products.get("mug-s") is None
    client.is_down = False
    variants.complete_due()
    assert listed() == [], "the request still has time"
    fake_clock.sleep(variants.LEASE_S + 1)
    variants.complete_due()
    assert listed() == ["mug"] and len(shown("mug").variants) == 2


def interruptions(store, prepare, work):
    """Prepare, then run `work` with a failure before or after each operation in turn; yield its argument each time."""
    for after in (False, True):
        for at in range(1, 60):
            place = f"{'after' if after else 'before'}-{at}"
            prepare(place)
            interrupted = store.interrupts(partial(work, place), at, after)
            yield place
            if not interrupted:
                break
        else:
            raise AssertionError("the work does not end")


@pytest.mark.parametrize("is_retried", [False, True])
def test_job_or_retry_completes_what_a_crash_at_any_write_left(store, fake_clock, is_retried):
    for place in interruptions(store, lambda place: None, lambda place: create(place, prefix=place)):
        if is_retried:
            create(place, prefix=f"{place}-again-")
        fake_clock.sleep(variants.LEASE_S + 1)
        variants.complete_due()
        if repository.products.get(place) is None:  # the request died before its first write
            continue
        product = shown(place)
        assert (len(product.variants), product.price, product.stock) == (2, "12.90", 10)
        assert len({each.id.partition("mug")[0] for each in product.variants}) == 1, "the variants of one request"
        for each in product.variants:
            assert events(each.id) == [("product.created", place)]
            assert stocks.stock.get(each.id)["available"] == each.stock
    assert repository.products.count({"isListed": False}) == 2 * repository.products.count({"isListed": True})


def test_job_completes_a_change_that_a_crash_at_any_write_left(store, fake_clock):
    def rename(place):
        application.change(place, {"name": "Tin mug"}, None, "k")

    for place in interruptions(store, lambda place: create(place, prefix=place), rename):
        fake_clock.sleep(variants.LEASE_S + 1)
        variants.complete_due()
        name = repository.get(place)["name"]
        assert priced(f"{place}mug-s", f"{place}mug-l")[0] == {
            f"{place}mug-s": (f"{name} - Small", 1290),
            f"{place}mug-l": (f"{name} - Large", 1490),
        }
        assert len(events(f"{place}mug-s")) == (2 if name == "Tin mug" else 1)
    assert name == "Tin mug"


def test_job_completes_a_deletion_that_a_crash_at_any_write_left(store, fake_clock):
    for place in interruptions(
        store, lambda place: create(place, prefix=place), lambda place: application.delete(place, None)
    ):
        fake_clock.sleep(variants.LEASE_S + 1)
        variants.complete_due()
        gone = repository.products.get(place)["deleted"]
        for each in (f"{place}mug-s", f"{place}mug-l"):
            assert repository.products.get(each)["deleted"] is gone
            assert events(each).count(("product.deleted", place)) == gone
    assert gone


def test_a_change_that_comes_while_a_product_is_refreshed_is_not_lost(monkeypatch):
    """Two workers handle events of two variants; the first reads before the second change and writes after it."""
    create()
    real, interfered = variants._set_entries, []

    def interfere(*arguments):
        if not interfered:
            interfered.append(True)
            repository.update_stock("mug-l", 1, 8)
            variants.refresh("mug-l")
        return real(*arguments)

    monkeypatch.setattr(variants, "_set_entries", interfere)
    repository.update_stock("mug-s", 2, 7)
    variants.refresh("mug-s")
    assert [each.stock for each in shown("mug").variants] == [2, 1]


def test_a_variant_is_read_after_the_product_that_guards_it(monkeypatch):
    create()
    real, interfered = repository.products.get, []

    def interfere(id):
        if id == "mug" and not interfered:
            interfered.append(True)
            repository.update_stock("mug-s", 1, 8)
            variants.refresh("mug-s")
        return real(id)

    repository.update_stock("mug-s", 2, 7)
    monkeypatch.setattr(repository.products, "get", interfere)
    variants.refresh("mug-s")
    assert shown("mug").variants[0].stock == 1


def test_events_complete_what_a_crash_left_between_a_variant_and_its_product(store):
    def change(place):
        application.change(f"{place}mug-s", {"price": "5.00"}, None, "k")

    for place in interruptions(store, lambda place: create(place, prefix=place), change):
        deliver_products()
        assert shown(place).price == shown(place).variants[0].price == shown(f"{place}mug-s").price
    assert shown(place).price == "5.00"

    def sell(place):
        event = StockChanged(product_id=f"{place}-sold-mug-s", available=0)
        handlers.on_stock_changed(event, Meta("", "inventory", "", "", event.product_id, 2))

    for place in interruptions(store, lambda place: create(f"{place}-sold", prefix=f"{place}-sold-"), sell):
        sell(place)
        assert [each.stock for each in shown(f"{place}-sold").variants] == [0, 6]


def test_product_imported_before_keeps_its_id_and_becomes_a_variant():
    application.create("camp-mug", domain.Details("Camp mug - Small", "Old"), domain.parse_price("12", "EUR"), 3)
    create("camp-mug__product", (("camp-mug", "Small", 1290, 9), ("camp-mug_large", "Large", 1490, 6)))
    assert listed() == ["camp-mug__product"]
    assert [(each.id, each.price, each.stock) for each in shown("camp-mug__product").variants] == [
        ("camp-mug", "12.00", 3),
        ("camp-mug_large", "14.90", 6),
    ]
    assert events("camp-mug") == [("product.created", None), ("product.updated", "camp-mug__product")]
    assert priced("camp-mug")[0] == {"camp-mug": ("Camp mug - Small", 1200)}


HEADER = (
    "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Qty,Image Src,Variant Image"
)
MUGS = (
    "camp-mug,Camp mug,Size,Small,A1,12.90,4,https://x.example/1,",
    "camp-mug,,,Large,A2,14.90,6,,https://x.example/2",
)


def imported(*rows, stock="keep"):
    """Import these rows of a Shopify export, and return the outcome of each."""
    items = [row.body for row in shopify.parse("\n".join((HEADER, *rows))).rows]
    reply = import_products(ProductImport.read({"items": items, "stock": stock}), Caller("u1", "admin", ""))
    return [item.outcome if item.outcome != "refused" else f"{item.field}: {item.reason}" for item in reply.items]


def test_import_makes_variants_of_the_rows_of_a_handle():
    assert imported(*MUGS) == ["created", "created"]
    assert imported(*MUGS) == ["unchanged", "unchanged"]
    product = shown("camp-mug__product")
    assert (product.name, product.price, product.stock) == ("Camp mug", "12.90", 10)
    assert [(each.id, each.options, each.sku) for each in product.variants] == [
        ("camp-mug", {"Size": "Small"}, "A1"),
        ("camp-mug_large", {"Size": "Large"}, "A2"),
    ]
    assert listed() == ["camp-mug__product"] and shown("camp-mug").name == "Camp mug - Small"
    sources = [repository.get(id)["pictureSources"] for id in ("camp-mug__product", "camp-mug", "camp-mug_large")]
    assert [[each["url"] for each in found] for found in sources] == [
        ["https://x.example/1"],
        [],
        ["https://x.example/2"],
    ]


def test_second_import_changes_what_differs_and_adds_variants():
    imported(*MUGS)
    small, large = (row.replace("Camp mug", "Tin mug") for row in MUGS)
    assert imported(small, large.replace("14.90", "11.00"), "camp-mug,,,Huge,A3,20,1,,") == [
        "updated",
        "updated",
        "created",
    ]
    product = shown("camp-mug__product")
    assert (product.name, product.price, [each.id for each in product.variants]) == (
        "Tin mug",
        "11.00",
        ["camp-mug", "camp-mug_large", "camp-mug_huge"],
    )
    assert shown("camp-mug_huge").name == "Tin mug - Huge"
    assert imported(small.replace(",4,", ",9,"), stock="set") == ["updated"] and shown("camp-mug").stock == 9
    assert shown("camp-mug__product").stock == 16
    colored = HEADER.replace("Variant SKU", "Option2 Name,Option2 Value,Variant SKU")
    items = shopify.parse(f"{colored}\ncamp-mug,Tin mug,Size,Small,Color,Red,A1,12.90,4,,").rows
    import_products(ProductImport.read({"items": [items[0].body]}), Caller("u1", "admin", ""))
    assert [each.options for each in shown("camp-mug__product").variants][:2] == [
        {"Size": "Small", "Color": "Red"},
        {"Size": "Large"},
    ]


def test_products_of_an_import_before_become_variants_with_their_stock():
    for id, name, price in (("camp-mug", "Camp mug - Small", "12.90"), ("camp-mug_large", "Camp mug - Large", "13.00")):
        application.create(id, domain.Details(name), domain.parse_price(price, "EUR"), 3)
    assert imported(*MUGS) == ["updated", "updated"] and imported(*MUGS) == ["unchanged", "unchanged"]
    assert listed() == ["camp-mug__product"]
    assert [(each.price, each.stock) for each in shown("camp-mug__product").variants] == [("12.90", 3), ("14.90", 3)]
    assert [type for type, _ in events("camp-mug")] == ["product.created", "product.updated"]


def test_rows_of_another_kind_of_product_are_refused():
    imported(*MUGS)
    plain = "camp-mug__product,Camp mug,,,,1,1,,"
    assert imported(plain) == [": The product camp-mug__product has variants. Use the id of one of them."]
    (renamed,) = imported("camp-mug,Tin mug,,,,12.90,4,,")
    assert renamed == "name: is that of the product camp-mug__product: change it there"
    application.create("jug__product", domain.Details("Jug"), domain.parse_price("5", "EUR"), 1)
    assert imported("jug,Jug,Size,S,,5,1,,") == ["parentId: is the id of a product without variants"]
    application.delete("camp-mug__product", None)
    assert all(": was deleted" in outcome or "no such product" in outcome for outcome in imported(*MUGS))


def test_import_that_a_crash_at_any_write_interrupts_is_completed_by_a_repeat(store):
    def rows(place):
        return [row.replace("camp-mug", place) for row in MUGS]

    for place in interruptions(store, lambda place: None, lambda place: imported(*rows(place))):
        imported(*rows(place))
        product = shown(f"{place}__product")
        assert [each.id for each in product.variants] == [place, f"{place}_large"]
        assert (product.price, product.stock) == ("12.90", 10)
        assert events(place) == [("product.created", f"{place}__product")]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("price"), st.integers(0, 2), st.integers(0, 9999)),
        st.tuples(st.just("stock"), st.integers(0, 2), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("deliver"), st.just(0), st.just(0)),
    ),
    max_size=8,
)


@given(OPERATIONS)
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lowest_price_and_stock_equal_those_of_the_variants_after_all_events(tmp_path, operations):
    store = SqliteStore(tmp_path / f"{clock.new_id()}.db")
    attach(store)
    ids = ["v0", "v1", "v2"]
    create("mug", tuple((id, id, 1000 + number, number) for number, id in enumerate(ids)))
    for name, number, value in operations:
        doc = repository.products.get(ids[number])
        if name == "deliver":
            deliver()
        elif not doc["deleted"] and name == "delete":
            application.delete(ids[number], None)
        elif not doc["deleted"] and name == "price":
            application.change(ids[number], {"price": f"{value}"}, None, clock.new_id())
        elif not doc["deleted"]:  # behind the back of the catalog
            level = StockProducts(
                items=[{"product_id": ids[number], "quantity": value}], replaces=True, dedup_key=clock.new_id()
            )
            inventory.stock_products(level)
    deliver()
    sold = [doc for doc in map(repository.products.get, ids) if not doc["deleted"]]
    parent = repository.products.get("mug")
    assert parent["stock"] == sum(stocks.stock.get(doc["_id"])["available"] for doc in sold)
    if sold:
        assert parent["price"] == min(doc["price"] for doc in sold)
    store.close()
