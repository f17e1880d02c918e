"""What a Shopify export means: which rows are products, and why the others are not."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.money import Money
from chassis.schema import ID
from services.products.shopify import Item, Refused, parse, product_id

CATALOG = Path(__file__).parents[3] / "data" / "catalog.csv"
HEADER = ("Handle", "Title", "Body (HTML)", "Type", "Option1 Value", "Option2 Value", "Variant Price")
HEADER = (*HEADER, "Variant Inventory Qty")


def sheet(*rows, header=HEADER, newline="\n"):
    """A file of these rows, each a tuple in the order of the header."""
    text = io.StringIO()
    csv.writer(text, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return text.getvalue()


def row(handle="mug", title="Mug", body="", type="", option="", second="", price="9.90", stock="7"):
    return handle, title, body, type, option, second, price, stock


def read(*rows, **options):
    return list(parse(sheet(*rows, **options), "EUR"))


def reason(*rows):
    """Why the last of the rows is refused."""
    refused = read(*rows)[-1]
    assert isinstance(refused, Refused), refused
    return refused.reason


def test_a_row_becomes_a_product_under_its_handle():
    assert read(row("camp-mug", "Camp mug", "<p>Steel &amp; enamel</p>", "Cooking", "Default Title")) == [
        Item(
            line=2,
            id="camp-mug",
            name="Camp mug",
            price=Money(990, "EUR"),
            stock=7,
            description="Steel & enamel",
            category="Cooking",
        )
    ]


def test_variants_become_products_with_shared_fields():
    items = read(
        row("sock", "Sock", "<p>Wool</p>", "Clothing", "Small", "Red"),
        row("sock", "", "", "", "Extra Large", "Red", price="12"),
    )
    assert [(item.id, item.name, str(item.price)) for item in items] == [
        ("sock", "Sock - Small / Red", "9.90"),
        ("sock_extra-large_red", "Sock - Extra Large / Red", "12.00"),
    ]
    assert {(item.description, item.category) for item in items} == {("Wool", "Clothing")}


def test_variants_may_be_separated_by_another_product():
    items = read(row("sock", "Sock", option="S"), row("mug", "Mug"), row("sock", "", option="M"))
    assert [item.name for item in items] == ["Sock - S", "Mug", "Sock - M"]


def test_rows_with_only_a_picture_are_skipped():
    picture = row("mug", "", price="", stock="")
    assert [item.line for item in read(row("mug"), picture, picture, row("jug", "Jug"))] == [2, 5]


def test_a_refused_first_row_does_not_change_the_ids_of_others():
    refused, kept = read(row("sock", "Sock", option="S", price="cheap"), row("sock", "", option="M"))
    assert (refused.line, kept.id, kept.name) == (2, "sock_m", "Sock - M")


def test_a_variant_and_a_similar_handle_get_different_ids():
    items = read(row("mug", "Mug", option="Blue"), row("mug", "", option="Red"), row("mug-red", "Red mug"))
    assert [item.id for item in items] == ["mug", "mug_red", "mug-red"]


@pytest.mark.parametrize(
    ("handle", "options"),
    [("h" * 80, ()), ("mug", ("o" * 80,)), ("グラス", ()), ("mug", ("1/2 l",)), ("mug", ("Größe 42",)), ("/", ())],
)
def test_invalid_ids_are_shortened_and_stay_unique(handle, options):
    id = product_id(handle, options)
    assert ID.fullmatch(id) and id == product_id(handle, options)
    assert id != product_id(handle + "x", options)


@pytest.mark.parametrize(("quantity", "stock"), [("", 0), ("0", 0), ("-3", 0), ("12", 12)])
def test_a_negative_or_empty_quantity_is_a_stock_of_0(quantity, stock):
    assert read(row(stock=quantity))[0].stock == stock


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(price="9.999")], "Variant Price: EUR has 2 decimal places"),
        ([row(price="-1")], "Variant Price: an amount is a decimal number"),
        ([row(price="€ 9")], "Variant Price: an amount is a decimal number"),
        ([row(price="")], "Variant Price: empty"),
        ([row(title="")], "Title: empty"),
        ([row(title="t" * 201)], "Title: String should have at most 200 characters"),
        ([row(title="bell\x07")], "Title: must not contain control characters"),
        ([row(body="b" * 5001)], "Body (HTML): String should have at most 5000 characters"),
        ([row(stock="1.5")], "Variant Inventory Qty: not an integer"),
        ([row(stock="9" * 12)], "Variant Inventory Qty: Input should be less than or equal to 1000000000"),
        ([row(handle="")], "Handle: empty"),
        ([row(), row()], "is the same product as line 2: mug"),
        ([row(option="S"), row(option="M"), row(option="s")], "is the same product as line 2: mug_s"),
        ([(*row(), "one too many")], "has more cells than the header has columns"),
    ],
)
def test_a_refused_row_names_the_reason(rows, why):
    assert reason(*rows).startswith(why)


def test_line_numbers_match_an_editor():
    text = sheet(row("a", body="<p>one\r\ntwo\nthree</p>"), row("b", price="no"), newline="\r\n")
    item, refused = parse(text, "EUR")
    assert (item.line, item.description, refused.line) == (2, "one two three", 5)


def test_an_unclosed_quote_is_one_refused_row():
    rows = parse(sheet(row("a")) + 'b,"never ends\nc,C,,,,,1.00,1\n', "EUR")
    assert [(type(row), row.line) for row in rows] == [(Item, 2), (Refused, 3)]


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="no column Handle, Variant Price"):
        parse("Title,Price\n", "EUR")
    with pytest.raises(ValueError, match="no column"):
        parse("", "EUR")


def test_a_field_without_a_column_is_none():
    (item,) = parse("Handle,Title,Variant Price\nmug,Mug,9.90\n", "EUR")
    assert (item.description, item.category, item.stock) == (None, None, 0)


def test_the_sample_catalog_is_valid():
    items = list(parse(CATALOG.read_text(encoding="utf-8"), "EUR"))
    assert all(isinstance(item, Item) for item in items)
    assert len({item.id.partition("_")[0] for item in items}) == 60


telling = st.sampled_from(["mug", "Mug", "9.90", "1", "<p>x", "<![x[ ]>", '"', "\r\n", "\0"])
cells = st.one_of(st.text(max_size=30), telling)


@given(st.lists(st.tuples(*[cells] * len(HEADER)), max_size=6))
@example([row(body="<![x[ ]>")])
def test_any_row_with_a_price_is_a_product_or_refused_by_line(rows):
    text = sheet(*rows)
    told = list(parse(text, "EUR"))
    starts = [len(io.StringIO(sheet(*rows[:count]), newline="").readlines()) + 1 for count in range(len(rows))]
    priced = [start for start, row in zip(starts, rows, strict=True) if row[6].strip()]
    lines = [each.line for each in told]
    assert set(priced) <= set(lines) <= set(starts) and len(lines) == len(set(lines))
    assert all(ID.fullmatch(each.id) if isinstance(each, Item) else each.reason for each in told)


@given(st.text(alphabet=st.sampled_from('ab ,"\n\r\0<>&é'), max_size=60))
def test_parsing_any_file_ends(text):
    list(parse(sheet() + text, "EUR"))
