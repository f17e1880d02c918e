"""What a Shopify export means: which rows are products, and why the others are not."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.schema import ID
from services.products import image_formats, shopify
from services.products.product_ids import readable_id
from services.products.shopify import Item, Refused, Skipped, parse
from services.products.variant_rules import MAX_VARIANTS, full_name

CATALOG = Path(__file__).parents[3] / "data" / "catalog.csv"
FIELDS = {
    "handle": "Handle",
    "title": "Title",
    "body": "Body (HTML)",
    "type": "Type",
    "option": "Option1 Value",
    "second": "Option2 Value",
    "price": "Variant Price",
    "stock": "Variant Inventory Qty",
    "tracker": "Variant Inventory Tracker",
    "policy": "Variant Inventory Policy",
    "published": "Published",
    "gift": "Gift Card",
    "status": "Status",
    "picture": "Image Src",
    "alt": "Image Alt Text",
    "variant_picture": "Variant Image",
}
HEADER = tuple(FIELDS.values())
DEFAULTS = {"handle": "mug", "title": "Mug", "price": "9.90", "stock": "7", "tracker": "shopify", "policy": "deny"}
DEFAULTS |= {"published": "true", "gift": "false", "status": "active"}
NEW_NAMES = {
    "Handle": "URL handle",
    "Body (HTML)": "Description",
    "Option1 Value": "Option1 value",
    "Option2 Value": "Option2 value",
    "Variant Price": "Price",
    "Variant Inventory Qty": "Inventory quantity",
    "Variant Inventory Tracker": "Inventory tracker",
    "Variant Inventory Policy": "Continue selling when out of stock",
    "Published": "Published on online store",
    "Gift Card": "Gift card",
    "Image Src": "Product image URL",
    "Image Alt Text": "Image alt text",
    "Variant Image": "Variant image URL",
}


def sheet(*rows, header=HEADER, newline="\n", separator=","):
    """A file of these rows, each a tuple in the order of the header."""
    text = io.StringIO()
    csv.writer(text, lineterminator=newline, quoting=csv.QUOTE_ALL, delimiter=separator).writerows([header, *rows])
    return text.getvalue()


def row(handle="mug", title="Mug", **values):
    values = {**DEFAULTS, "handle": handle, "title": title, **values}
    return tuple(values.get(field, "") for field in FIELDS)


def picture(handle="mug"):
    return row(handle, "", **dict.fromkeys(("price", "stock", "tracker", "policy"), ""), picture="https://x.example/1")


def read(*rows, **options):
    return parse(sheet(*rows, **options)).rows


def item(*rows, **options):
    """The product of the last of the rows."""
    found = read(*rows, **options)[-1]
    assert isinstance(found, Item), found
    return found


def name_of(body):
    """The name under which a product or variant is ordered."""
    return full_name(body["name"], body.get("options", {}).values())


def reason(*rows):
    """Why the last of the rows is refused."""
    refused = read(*rows)[-1]
    assert isinstance(refused, Refused), refused
    return refused.reason


def test_a_row_becomes_a_product_under_its_handle():
    values = {"body": "<p>Steel &amp; enamel</p>", "type": "Cooking", "option": "Default Title"}
    body = {
        "id": "camp-mug",
        "name": "Camp mug",
        "price": "9.90",
        "stock": 7,
        "description": "Steel & enamel",
        "category": "Cooking",
        "published": True,
    }
    assert read(row("camp-mug", "Camp mug", **values)) == [Item(2, "camp-mug", body)]


def test_the_present_template_means_the_same():
    rows = row(body="<p>Steel</p>", picture="https://x.example/1"), row(title="", option="L", policy="CONTINUE")
    old = parse(sheet(*rows))
    new = parse(sheet(*rows, header=[NEW_NAMES.get(name, name) for name in HEADER]))
    assert (new.rows, new.pictures) == (old.rows, 1) and len(new.rows) == 2


def test_variants_become_products_with_shared_fields():
    rows = (
        row("sock", "Sock", body="<p>Wool</p>", type="Clothing", option="Small", second="Red"),
        row("sock", "", option="Extra Large", second="Red", price="12", published="", status="", gift=""),
    )
    found = [each.body for each in read(*rows)]
    assert [(body["id"], name_of(body), body["price"]) for body in found] == [
        ("sock", "Sock - Small / Red", "9.90"),
        ("sock_extra-large_red", "Sock - Extra Large / Red", "12"),
    ]
    assert {(body["description"], body["category"], body["published"]) for body in found} == {
        ("Wool", "Clothing", True)
    }


def test_variants_belong_to_a_product_under_an_id_of_its_own():
    header = "Handle,Title,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Price"
    rows = (
        "camp-mug,Camp mug,Size,Small,Color,Red,A1,9",
        "camp-mug,,,Large,,Red,A2,9",
        "jug,Jug,Title,Default Title,,,,5",
    )
    small, large, jug = (row.body for row in parse("\n".join((header, *rows))).rows)
    assert (small["id"], small["parentId"], small["name"], small["sku"]) == (
        "camp-mug",
        "camp-mug__product",
        "Camp mug",
        "A1",
    )
    assert small["options"] == {"Size": "Small", "Color": "Red"}
    assert (large["id"], large["options"]) == ("camp-mug_large_red", {"Size": "Large", "Color": "Red"})
    assert not {"parentId", "options"} & jug.keys()


@pytest.mark.parametrize("other", [row("mug__product", "Other"), row("mug", "", option="_product")])
def test_id_of_a_product_is_that_of_nothing_else_in_the_file(other):
    found = [each.body for each in read(row(option="S"), row(title="", option="M"), other)]
    (parent,) = {body["parentId"] for body in found if "parentId" in body}
    assert parent not in {body["id"] for body in found} and ID.fullmatch(parent)
    assert "mug__product" in {body["id"] for body in found}


def test_very_many_variants_are_products_of_their_own():
    rows = [row(title="Mug" if n == 0 else "", option=f"V{n}") for n in range(MAX_VARIANTS + 1)]
    for count, has_parent in ((MAX_VARIANTS, True), (MAX_VARIANTS + 1, False)):
        found = read(*rows[:count])
        assert {"parentId" in each.body for each in found} == {has_parent}
        assert (shopify.MANY_VARIANTS in found[0].notes) is not has_parent
        assert name_of(found[1].body) == "Mug - V1"


def test_variants_may_be_separated_by_another_product():
    items = read(row("sock", "Sock", option="S"), row("mug", "Mug"), row("sock", "", option="M"))
    assert [name_of(each.body) for each in items] == ["Sock - S", "Mug", "Sock - M"]


def test_the_row_with_the_title_is_the_first_of_its_handle():
    skipped, item = read(picture("sock"), row("sock", "Sock", option="S"))
    assert isinstance(skipped, Skipped) and item.body["id"] == "sock"


def test_a_row_with_only_a_picture_is_skipped_and_counted():
    catalog = parse(sheet(row("mug"), picture(), picture(), row("jug", "Jug", picture="https://x.example/2")))
    assert [type(each) for each in catalog.rows] == [Item, Skipped, Skipped, Item]
    assert {each.reason for each in catalog.rows if isinstance(each, Skipped)} == {shopify.ONLY_PICTURE}
    assert catalog.pictures == 3


@pytest.mark.parametrize("variant", [{"option": "M"}, {"second": "Red"}, {"stock": "6"}])
def test_a_variant_without_a_price_is_refused(variant):
    blank = dict.fromkeys(("price", "stock", "tracker", "policy"), "")
    refused = read(row(option="S"), row(title="", **{**blank, **variant}))[-1]
    assert refused == Refused(3, "mug", "Variant Price: empty")


def test_a_refused_first_row_does_not_change_the_ids_of_others():
    refused, kept = read(row("sock", "Sock", option="S", price=""), row("sock", "", option="M"))
    assert (refused.line, kept.body["id"], name_of(kept.body)) == (2, "sock_m", "Sock - M")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"status": "draft"}, "Status: draft"),
        ({"status": "Archived"}, "Status: archived"),
        ({"status": "unlisted"}, "Status: unlisted"),
        ({"published": "FALSE"}, "Published: false"),
        ({"published": "perhaps"}, "Published: perhaps"),
        ({"gift": "true"}, "Gift Card: true"),
        ({"gift": "TRUE", "status": "draft"}, "Status: draft"),
    ],
)
def test_what_is_not_for_sale_there_is_unpublished_with_a_reason(values, why):
    for found in read(row(option="S", **values), row(title="", option="M", status="", published="", gift="")):
        assert (found.body["published"], found.unpublished) == (False, why)


@pytest.mark.parametrize("values", [{"status": "", "published": "", "gift": ""}, {"status": "Active"}])
def test_empty_columns_mean_for_sale(values):
    found = item(row(**values))
    assert (found.body["published"], found.unpublished) == (True, "")


@pytest.mark.parametrize(("quantity", "stock"), [("", 0), ("0", 0), ("-3", 0), ("12", 12), ("1\u200b2", 12)])
def test_a_negative_or_empty_quantity_is_a_stock_of_0(quantity, stock):
    found = item(row(stock=quantity))
    assert (found.body["stock"], found.notes) == (stock, [])


@pytest.mark.parametrize(
    ("values", "note"), [({"tracker": ""}, shopify.UNTRACKED), ({"policy": "continue"}, shopify.CONTINUED)]
)
def test_what_never_sells_out_there_is_named_or_gets_the_given_stock(values, note):
    text = sheet(row(stock="3", **values))
    (found,) = parse(text).rows
    assert (found.body["stock"], found.notes) == (3, [note])
    (found,) = parse(text, unlimited=1000).rows
    assert (found.body["stock"], found.notes) == (1000, [shopify.UNLIMITED])


def test_a_missing_quantity_column_is_noted_and_leaves_the_stock_out():
    catalog = parse("Handle,Title,Variant Price\nmug,Mug,9.90\n")
    assert [each.body for each in catalog.rows] == [{"id": "mug", "name": "Mug", "price": "9.90"}]
    assert len(catalog.notes) == 1 and "no column Variant Inventory Qty" in catalog.notes[0]
    assert "no column Inventory quantity" in parse("URL Handle,Title,Price\n").notes[0]
    assert not parse(sheet(row())).notes


@pytest.mark.parametrize(
    ("written", "read"), [("9,90", "9.90"), ("9,5", "9.5"), ("1,234", "1,234"), ("1.234,50", "1.234,50")]
)
def test_a_comma_is_decimal_only_where_it_can_be_nothing_else(written, read):
    assert item(row(price=written)).body["price"] == read


def test_control_characters_are_left_out_and_counted():
    body = "a\x85b<p>Levi&#153;s &#x80; &#11;&#0;&#x81;\x0b</p>"
    catalog = parse(sheet(row("m\x00ug", "M\x0bug", body=body, option="S\x99", price="9\x08.90"), row("m\x00ug", "")))
    (found, _) = catalog.rows
    assert (found.body["id"], name_of(found.body), found.body["price"]) == ("mug", "Mug - S", "9.90")
    assert found.body["description"] == "ab\nLevi™s €"
    assert catalog.control_characters == 10


def test_a_handle_goes_before_a_variant_with_the_same_readable_id():
    options = ["Light Blue", "Light-Blue", "light_blue", "LIGHT BLUE"]
    rows = [row("oc", "OC" if n == 0 else "", option=option) for n, option in enumerate(options)]
    found = read(*rows, row("oc_light-blue", "Another"), row("oc", "", option="Light", second="Blue"))
    (refused,) = (each for each in found if isinstance(each, Refused))
    assert refused == Refused(5, "oc", "is the same product as line 2: oc")
    ids = {name_of(each.body): each.body["id"] for each in found if isinstance(each, Item)}
    assert (ids["OC - Light Blue"], ids["OC - light_blue"], ids["Another"]) == ("oc", "oc_light_blue", "oc_light-blue")
    assert len(set(ids.values())) == len(ids) == 5 and all(ID.fullmatch(id) for id in ids.values())


@pytest.mark.parametrize(
    ("handle", "options"),
    [("h" * 80, ()), ("mug", ("o" * 80,)), ("グラス", ()), ("mug", ("1/2 l",)), ("mug", ("Größe 42",)), ("/", ())],
)
def test_invalid_ids_are_shortened_and_stay_unique(handle, options):
    id = readable_id(handle, options)
    assert ID.fullmatch(id) and id == readable_id(handle, options)
    assert id != readable_id(handle + "x", options)


def test_a_long_name_is_shortened_but_keeps_its_option():
    title = "t" * 255
    assert item(row(title=title)).body["name"] == title and not item(row(title=title)).notes
    found = item(row(title=title, option="a very long option value", second="o" * 20))
    assert len(name_of(found.body)) == 255 and found.notes == [shopify.SHORTENED]
    assert name_of(found.body).endswith("t… - a very long option value / " + "o" * 20)
    assert len(name_of(item(row(option="o" * 255, second="p" * 255)).body)) <= 255


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row(price="")], "Variant Price: empty"),
        ([row(title="")], "Title: empty"),
        ([row(stock="1.5")], "Variant Inventory Qty: not an integer"),
        ([row(handle="")], "Handle: empty"),
        ([row(), row()], "is the same product as line 2: mug"),
        ([row(option="S"), row(option="M"), row(option="s")], "is the same product as line 2: mug"),
        ([(*row(), "one too many")], "has more cells than the header has columns"),
    ],
)
def test_a_refused_row_names_the_reason(rows, why):
    assert reason(*rows) == why


def test_line_numbers_match_an_editor():
    text = sheet(row("a", body="<p>one\r\ntwo\nthree</p>"), row("b", price=""), newline="\r\n")
    item, refused = parse(text).rows
    assert (item.line, item.body["description"], refused.line) == (2, "one two three", 5)


def test_an_unclosed_quote_is_one_refused_row():
    rows = parse(sheet(row("a")) + 'b,"never ends\nc,C,,,,,1.00,1\n').rows
    assert [(type(row), row.line) for row in rows] == [(Item, 2), (Refused, 3)]


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="no column Handle, Variant Price"):
        parse("Title,Cost\n")
    with pytest.raises(ValueError, match="no column"):
        parse("")


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("Handle,Title,Variant Price,Variant Price", "two columns Variant Price"),
        ("Handle,Title,Price,Variant Price", "two columns Price and Variant Price"),
        ("Handle,TITLE,title,Price", "two columns TITLE and title"),
    ],
)
def test_two_columns_with_one_meaning_are_refused(header, why):
    with pytest.raises(ValueError, match=why):
        parse(header + "\nmug,Mug,1.00,9.00\n")


def test_columns_that_are_not_read_may_be_there_twice():
    assert item(row() + ("a", "b"), header=(*HEADER, "Color", "Color")).body["name"] == "Mug"


def test_the_sample_catalog_is_valid():
    catalog = parse(CATALOG.read_text(encoding="utf-8"))
    items = [each for each in catalog.rows if isinstance(each, Item)]
    assert {type(each) for each in catalog.rows} == {Item, Skipped}
    assert len({each.body["id"].partition("_")[0] for each in items}) == 60


telling = st.sampled_from(["mug", "Mug", "9.90", "1", "<p>x", "<![x[ ]>", '"', "\r\n", "\0", "&#0;", "\ud800", "a_b"])
cells = st.one_of(st.text(max_size=30), telling)


@given(st.lists(st.tuples(*[cells] * len(HEADER)), max_size=6))
@example([row(body="<![x[ ]>")])
def test_every_row_is_a_product_or_refused_or_skipped_by_its_line(rows):
    found = parse(sheet(*rows)).rows
    starts = [len(io.StringIO(sheet(*rows[:count]), newline="").readlines()) + 1 for count in range(len(rows))]
    filled = [start for start, row in zip(starts, rows, strict=True) if any(cell.strip() for cell in row)]
    assert [each.line for each in found] == filled
    ids = [each.body["id"] for each in found if isinstance(each, Item)]
    assert len(ids) == len(set(ids)) and all(ID.fullmatch(id) for id in ids)


@given(st.text(alphabet=st.sampled_from('ab ,;"\n\r\0<>&é='), max_size=60))
def test_parsing_any_file_ends(text):
    parse(sheet() + text)


def pictures_of(item):
    return [(each["url"], each["alt"]) for each in item.body.get("pictures", [])]


def test_pictures_belong_to_their_product_and_a_variants_picture_to_the_variant():
    first = row(option="S", picture="https://x.example/1", alt="In front")
    second = row(title="", option="L", variant_picture="https://x.example/large")
    small, large, _, jug = read(first, second, picture(), row("jug", "Jug", picture="https://x.example/jug"))
    shared = [("https://x.example/1", "In front")]
    assert pictures_of(small) == pictures_of(large) == shared
    assert (small.body.get("picture"), large.body["picture"]) == (None, {"url": "https://x.example/large", "alt": ""})
    assert pictures_of(jug) == [("https://x.example/jug", "")]


def test_picture_that_is_a_file_beside_the_catalog_is_uploaded():
    found = item(row(picture="pictures/mug-1.WEBP", alt="In front"))
    assert (found.files, pictures_of(found), found.notes) == ({"pictures/mug-1.WEBP": "In front"}, [], [])


@pytest.mark.parametrize(
    "url",
    [
        "../1.jpg",
        "a/../1.jpg",
        ".ssh/1.png",
        "C:\\1.jpg",
        "secret.key",
        "ftp://x.example/1",
        "/1.jpg",
        "javascript:alert(1)",
        "https://x.example/a b",
    ],
)
def test_picture_without_a_usable_url_is_left_out_and_noted(url):
    found = item(row(picture=url))
    assert (pictures_of(found), found.notes) == ([], [shopify.NO_URL])


def test_a_product_has_at_most_twenty_pictures():
    rows = [row("mug", "", price="", stock="", picture=f"https://x.example/{number}") for number in range(30)]
    assert len(pictures_of(next(each for each in read(row(), *rows) if isinstance(each, Item)))) == 20


def test_vendor_and_tags_are_those_of_the_head_and_tags_are_split():
    header = "Handle,Title,Vendor,Tags,Option1 Value,Variant Price"
    rows = ('mug,Mug,Fell & Fireside,"steel, two  people,,",Small,9.90', "mug,,,,Large,9.90", "jug,Jug,,,,5")
    small, large, jug = (row.body for row in parse("\n".join((header, *rows))).rows)
    assert (small["vendor"], small["tags"]) == ("Fell & Fireside", ["steel", "two people"])
    assert (large["vendor"], large["tags"]) == (small["vendor"], small["tags"])
    assert (jug["vendor"], jug["tags"]) == ("", [])
    (bare,) = (row.body for row in parse("Handle,Title,Variant Price\nmug,Mug,1").rows)
    assert not {"vendor", "tags"} & bare.keys()


def test_every_product_of_the_catalog_has_a_small_picture():
    items = [each for each in parse(CATALOG.read_text(encoding="utf-8")).rows if isinstance(each, Item)]
    assert all((each.files or each.parent_files) and not each.notes for each in items)
    for name in {name for each in items for name in each.files | each.parent_files}:
        data = (CATALOG.parent / name).read_bytes()
        assert len(data) < 8 * 1024 and image_formats.check(data).width == 640
