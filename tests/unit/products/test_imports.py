"""Import in batches: each row once, whatever dies, and the stock only where it is asked for."""

import pytest

from chassis import calls
from chassis.errors import NotAttempted
from chassis.money import Money
from chassis.web.auth import Caller
from services.inventory import application as inventory
from services.inventory import handlers as inventory_handlers
from services.inventory import repository as stocks
from services.inventory.messages import ConfirmStock, Line, Reserve
from services.products import application, imports, repository, vocabulary
from services.products.imports import ProductDeleted, Row, import_rows
from services.products.imports_api import ProductImport, import_products
from services.products.messages import ProductDeleted as Deleted
from tests.unit.conftest import crashes


class Inventory:
    """The client of other services, which hands commands to the code of `inventory`."""

    is_down = False

    def send(self, command, key, attempts, stale_s=0.0):
        if self.is_down:
            raise NotAttempted("inventory cannot be reached")
        return inventory.stock_products(command)


@pytest.fixture(autouse=True)
def client(store, fake_clock):
    for collection in (repository.products, vocabulary.words, stocks.stock, stocks.reservations):
        collection.attach(store).ensure_indexes()
    vocabulary.forget()
    calls.use(client := Inventory())
    yield client
    calls.use(None)


def row(id, name="Mug", price="9.90", stock=5, published=None, **texts):
    return Row(id, name, Money.parse(price, "EUR"), stock, published, texts)


def run(*rows, sets_stock=False, key="k1"):
    return import_rows(rows, sets_stock, key)


def published(id):
    return [entry["type"] for entry in repository.products.get(id)["outbox"]]


def sell(order, product, quantity):
    inventory.reserve(Reserve(order_id=order, lines=[Line(product_id=product, quantity=quantity)]))
    inventory.confirm(ConfirmStock(order_id=order))


def available(id):
    return stocks.stock.get(id)["available"]


def test_a_second_import_changes_nothing():
    assert run(row("mug"), row("jug", "Jug")) == {"mug": "created", "jug": "created"}
    assert run(row("mug"), row("jug", "Jug")) == {"mug": "unchanged", "jug": "unchanged"}
    assert published("mug") == ["product.created"] and repository.get("mug")["version"] == 1


@pytest.mark.parametrize(
    ("change", "field", "stored"),
    [
        ({"name": "Cup"}, "name", "Cup"),
        ({"description": "Tin"}, "description", "Tin"),
        ({"category": "Garden"}, "category", "Garden"),
        ({"price": "8.50"}, "price", 850),
        ({"published": False}, "isPublished", False),
    ],
)
def test_a_different_field_is_changed_with_one_event(change, field, stored):
    run(row("mug", description="Steel", category="Cooking"))
    changed = {"description": "Steel", "category": "Cooking", **change}
    assert [run(row("mug", **changed))["mug"] for _ in range(2)] == ["updated", "unchanged"]
    assert repository.get("mug")[field] == stored
    assert published("mug") == ["product.created", "product.updated"]


def test_what_a_row_leaves_out_is_kept():
    run(row("mug", description="Steel", category="Cooking", published=False))
    assert run(row("mug", stock=None), sets_stock=True) == {"mug": "unchanged"}
    product = repository.get("mug")
    assert (product["description"], product["isPublished"], product["stock"]) == ("Steel", False, 5)


def test_a_new_product_without_a_stock_has_none_until_a_later_import_sets_it():
    assert run(row("mug", stock=None)) == {"mug": "created"}
    assert available("mug") == 0
    assert run(row("mug", stock=7)) == {"mug": "unchanged"} and available("mug") == 0
    assert run(row("mug", stock=7), sets_stock=True, key="k2") == {"mug": "updated"}
    assert (available("mug"), repository.get("mug")["stock"]) == (7, 7)
    assert published("mug") == ["product.created"]


def test_setting_the_stock_counts_once_for_each_import():
    run(row("mug", stock=5))
    for _ in range(2):
        run(row("mug", stock=8), sets_stock=True, key="k2")
        sell("o1", "mug", 2)
    assert available("mug") == 6
    run(row("mug", stock=8), sets_stock=True, key="k3")
    assert (available("mug"), stocks.stock.get("mug")["sold"]) == (8, 2)


def test_a_deleted_product_is_refused_and_stays_deleted():
    run(row("mug"))
    application.delete("mug", None)
    assert isinstance(run(row("mug", stock=9), sets_stock=True)["mug"], ProductDeleted) and available("mug") == 5
    inventory_handlers.on_product_deleted(Deleted(product_id="mug"), None)
    outcomes = run(row("mug", stock=9), row("jug"), sets_stock=True)
    assert isinstance(outcomes["mug"], ProductDeleted) and outcomes["jug"] == "created"
    assert repository.products.get("mug")["deleted"] and stocks.stock.get("mug")["closed"] and available("mug") == 5


def test_a_closed_stock_without_a_product_is_refused():
    inventory_handlers.on_product_deleted(Deleted(product_id="mug"), None)
    assert isinstance(run(row("mug"))["mug"], ProductDeleted)
    assert repository.products.get("mug") is None


def test_a_stock_that_a_crash_left_is_what_the_catalog_shows(store):
    assert store.interrupts(lambda: run(row("mug", stock=5)), 2, True)
    assert repository.products.get("mug") is None and available("mug") == 5
    assert run(row("mug", stock=9), key="k2") == {"mug": "created"}
    assert (available("mug"), repository.get("mug")["stock"]) == (5, 5)


def test_an_outage_creates_no_product_that_cannot_be_ordered(client):
    client.is_down = True
    with pytest.raises(NotAttempted):
        run(row("mug"))
    assert repository.products.get("mug") is None
    client.is_down = False
    assert run(row("mug")) == {"mug": "created"}


def test_rows_that_change_nothing_do_not_need_inventory(client):
    run(row("mug"))
    client.is_down = True
    assert run(row("mug", "Cup")) == {"mug": "updated"}


@pytest.mark.parametrize("sets_stock", [False, True])
def test_a_crash_at_any_write_and_a_repeat_give_the_same_result(store, sets_stock):
    def batch(place):
        run(row(f"new-{place}"), row("old", "Cup", stock=8), row(f"also-{place}"), sets_stock=sets_stock, key=place)

    run(row("old", stock=3))
    for place in crashes(store, batch):
        batch(place)
        for id in (f"new-{place}", f"also-{place}"):
            assert published(id) == ["product.created"] and available(id) == repository.get(id)["stock"] == 5
        assert repository.get("old")["name"] == "Cup" and available("old") == (8 if sets_stock else 3)
        run(row("old", "Mug", stock=3), sets_stock=sets_stock, key=f"back-{place}")


def test_another_import_that_comes_first_is_not_overwritten_with_a_second_event(monkeypatch):
    find = repository.products.find
    monkeypatch.setattr(repository.products, "find", lambda *args, **options: [])
    run(row("mug"))
    assert run(row("mug", "Cup")) == {"mug": "updated"}
    assert published("mug") == ["product.created", "product.updated"] and find({"_id": {"$in": ["mug"]}})


def test_a_batch_has_at_most_as_many_rows_as_its_command_takes():
    rows = [row(f"mug-{number}") for number in range(imports.MAX_ROWS)]
    assert set(run(*rows).values()) == {"created"}


def test_vendor_and_tags_are_kept_unless_a_row_has_them():
    import_rows([Row("mug", "Mug", Money(990, "EUR"), 5, None, {"vendor": "Fell"}, ("red", "steel"))], False, "k")
    run(row("mug"))
    stored = repository.get("mug")
    assert (stored["vendor"], stored["tags"]) == ("Fell", ["red", "steel"])
    changed = Row("mug", "Mug", Money(990, "EUR"), 5, None, {"vendor": "Ash"}, ())
    assert import_rows([changed], False, "k") == {"mug": "updated"}
    assert import_rows([changed], False, "k") == {"mug": "unchanged"}
    stored = repository.get("mug")
    assert (stored["vendor"], stored["tags"]) == ("Ash", [])


def test_id_of_a_route_is_refused():
    body = {"items": [{"id": "categories", "name": "Mug", "price": "1"}, {"id": "mug", "name": "Mug", "price": "1"}]}
    reply = import_products(ProductImport.read(body), Caller("u1", "admin", ""))
    assert [(item.outcome, item.field) for item in reply.items] == [("refused", "id"), ("created", "")]
