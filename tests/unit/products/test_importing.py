"""Import of products: repeated after a crash at any write, it creates each product once."""

import pytest

from chassis import calls
from chassis.errors import NotAttempted
from services.products import application, repository
from services.products.importing import import_rows
from services.products.shopify import Refused, parse


class Inventory:
    """A fake of the client of other services that keeps the stocks it is sent."""

    def __init__(self):
        self.stocks, self.down_at = {}, 0

    def send(self, command, key, attempts, stale_s=0.0):
        self.down_at -= 1
        if self.down_at == 0:
            raise NotAttempted("inventory cannot be reached")
        self.stocks.setdefault(command.product_id, command.quantity)


@pytest.fixture(autouse=True)
def inventory(store, fake_clock):
    repository.products.attach(store).ensure_indexes()
    calls.use(inventory := Inventory())
    yield inventory
    calls.use(None)


def rows(*products):
    lines = [f'{id},{title},"{body}",{type},{price},{stock}' for id, title, body, type, price, stock in products]
    header = "Handle,Title,Body (HTML),Type,Variant Price,Variant Inventory Qty"
    return list(parse("\n".join([header, *lines]), "EUR"))


MUG, JUG = ("mug", "Mug", "Steel", "Cooking", "9.90", 5), ("jug", "Jug", "Clay", "Kitchen", "19.90", 3)


def published(id):
    return [entry["type"] for entry in repository.products.get(id)["outbox"]]


def test_a_second_import_changes_nothing():
    assert import_rows(rows(MUG, JUG)).outcomes == {"created": 2, "changed": 0, "unchanged": 0}
    assert import_rows(rows(MUG, JUG)).outcomes == {"created": 0, "changed": 0, "unchanged": 2}
    assert published("mug") == ["product.created"] and repository.get("mug")["version"] == 1


@pytest.mark.parametrize(
    ("place", "new", "field", "kept"),
    [
        (1, "Cup", "name", "Cup"),
        (2, "<p>Tin</p>", "description", "Tin"),
        (3, "Garden", "category", "Garden"),
        (4, "8.50", "price", 850),
    ],
)
def test_a_different_field_is_changed_with_one_event(place, new, field, kept):
    import_rows(rows(MUG))
    changed = (*MUG[:place], new, *MUG[place + 1 :])
    for outcome in ("changed", "unchanged"):
        assert import_rows(rows(changed)).outcomes[outcome] == 1
    assert repository.get("mug")[field] == kept
    assert published("mug") == ["product.created", "product.updated"]


def test_import_keeps_the_stock_of_an_existing_product(inventory):
    import_rows(rows(MUG))
    assert import_rows(rows((*MUG[:5], 500))).outcomes["unchanged"] == 1
    assert inventory.stocks == {"mug": 5} and repository.get("mug")["stock"] == 5


def test_a_missing_column_keeps_the_field():
    import_rows(rows(MUG))
    assert import_rows(parse("Handle,Title,Variant Price\nmug,Mug,9.90", "EUR")).outcomes["unchanged"] == 1


def test_a_deleted_product_is_refused():
    import_rows(rows(MUG))
    application.delete("mug", None)
    report = import_rows(rows(MUG, JUG))
    assert report.outcomes["created"] == 1 and not report.is_complete
    assert [(row.line, row.handle) for row in report.refused] == [(2, "mug")]


def test_rows_after_a_refused_row_are_imported():
    report = import_rows([Refused(2, "x", "no"), *rows(MUG)])
    assert report.outcomes["created"] == 1 and report.refused == [Refused(2, "x", "no")] and not report.is_complete


def test_import_stops_at_an_outage_and_resumes_when_repeated(inventory):
    inventory.down_at = 2
    report = import_rows(rows(MUG, JUG))
    assert report.stopped == "line 3: inventory cannot be reached" and not report.is_complete
    assert import_rows(rows(MUG, JUG)).outcomes == {"created": 1, "changed": 0, "unchanged": 1}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 5))
def test_import_after_a_crash_at_any_write_creates_each_product_once(store, inventory, at, after):
    store.fail(at, after)
    assert import_rows(rows(MUG, JUG)).stopped
    store.fail(0, False)
    assert import_rows(rows(MUG, JUG)).is_complete
    assert (published("mug"), published("jug")) == (["product.created"], ["product.created"])
    assert inventory.stocks == {"mug": 5, "jug": 3}
