"""One file for each thing that exports do, from the file to the stored products."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from chassis import calls
from chassis.web.auth import Caller
from services.inventory import application as inventory
from services.inventory import repository as stocks
from services.products import repository, shopify, spreadsheet, vocabulary
from services.products.importing import import_catalog
from services.products.imports_api import ProductImport, import_products

EXPORTS = Path(__file__).parent / "exports"


@pytest.fixture(autouse=True)
def shop(store, fake_clock):
    for collection in (repository.products, stocks.stock, vocabulary.words, vocabulary.state):
        collection.attach(store).ensure_indexes()
    calls.use(SimpleNamespace(send=lambda command, *_, **__: inventory.stock_products(command)))
    yield
    calls.use(None)


def run(name, stock="keep"):
    """Import a file, and return the report as data."""
    catalog = shopify.parse(spreadsheet.decode((EXPORTS / f"{name}.csv").read_bytes()))

    def post(path, body):
        return import_products(ProductImport.read(body), Caller("u1", "admin", "")).data()

    return import_catalog(catalog, post, {"stock": stock}, OSError, lambda rows: None).data()


def product(id):
    return repository.products.get(id)


def lines(rows):
    return [row["line"] for row in rows]


def test_status_only_what_is_for_sale_there_is_published():
    report = run("status")
    assert (report["created"], lines(report["unpublished"])) == (6, [3, 4, 5, 6, 7])
    found = {doc["_id"]: doc["isPublished"] for doc in repository.products.iterate()}
    assert [id for id, is_published in found.items() if is_published] == ["st-active"]
    assert len(found) == 7 and not found["st-gift__product"]


def test_blankprice_a_variant_without_a_price_is_refused():
    report = run("blankprice")
    assert lines(report["refused"]) == [3, 5, 6]
    assert {row["reason"] for row in report["refused"]} == {"Variant Price: empty"}
    assert (report["created"], lines(report["skipped"]), report["pictures"]) == (2, [7], 1)


def test_untracked_what_never_sells_out_is_named():
    report = run("untracked")
    assert {note["handle"] for note in report["notes"]} == {"ut-a", "ut-b"}
    assert stocks.stock.get("ut-c")["available"] == product("ut-c")["stock"] == 4


def test_noqty_a_later_import_sets_the_stock():
    assert "no column" in run("noqty")["notes"][0]["note"]
    assert product("nq-a")["stock"] == 0


def test_new2024_the_present_template():
    report = run("new2024")
    assert (report["rows"], report["created"], report["pictures"], report["notes"]) == (1, 1, 1, [])
    mug = product("new-mug")
    assert (mug["name"], mug["price"], mug["stock"], mug["isPublished"]) == ("New mug", 950, 4, True)
    assert (mug["description"], mug["category"]) == ("A mug", "Mug")


def test_c1_no_row_is_lost_for_a_control_character():
    report = run("c1")
    assert (report["created"], report["refused"], report["controlCharacters"]) == (7, [], 8)
    texts = [product(f"c1-{letter}")["description"] for letter in "acdefg"]
    assert texts == ["Levis jeans", "ab", "lineline", "xy", "Levi™s €", "ab"] and product("c1-b")["name"] == "Ctlb"


def test_dupcols_two_columns_with_one_meaning_are_refused():
    with pytest.raises(ValueError, match="two columns Variant Price"):
        run("dupcols")


def test_longtitle_titles_have_up_to_255_characters():
    assert run("longtitle")["created"] == 2
    assert product("lt-a")["name"] == "t" * len(product("lt-a")["name"])
    assert product("lt-b")["name"].endswith("T - a very long option value")


def test_semicolon_is_a_separator():
    assert run("semicolon")["created"] == 1 and product("semi-a")["price"] == 100


def test_optcoll_near_equal_options_are_products_of_their_own():
    report = run("optcoll")
    assert (report["created"], lines(report["refused"])) == (5, [5])
    names = {doc["name"]: doc["_id"] for doc in repository.products.iterate()}
    assert {"OC - Light Blue", "OC - Light-Blue", "OC - Light / Blue"} <= names.keys()
    assert names["Another"] == "oc_light-blue"
    assert run("optcoll")["unchanged"] == 5


@pytest.mark.parametrize("name", ["status", "blankprice", "untracked", "optcoll", "c1"])
def test_every_row_of_a_file_is_accounted_for_also_in_a_second_import(name):
    for outcome in ("created", "unchanged"):
        report = run(name, stock="set")
        assert report[outcome] + len(report["refused"]) + len(report["skipped"]) == report["rows"]
