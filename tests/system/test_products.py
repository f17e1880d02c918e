"""`/api/products`: the catalog, its prices, and its view of the stock."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from chassis import clock
from services.products.repository import products
from tests.system.platform import Client, Shop, eventually, expect, problem, refused_fields

JSON = {"Content-Type": "application/json"}
VERSIONS = products.versions


def body(**fields: Any) -> dict[str, Any]:
    return {"name": "Lantern", "price": "19.90", "stock": 5, **fields}


def names(client: Client, query: str) -> list[str]:
    return [item["name"] for item in client.items(f"/api/products?{query}")]


def test_a_new_product_is_returned_with_all_fields(admin: Client, guest: Client) -> None:
    wanted = body(currency="USD", description="It glows.", category="light")
    product = expect(admin.post("/api/products", wanted), 201)
    fields = {"id", "name", "description", "price", "currency", "category", "stock", "createdAt", "updatedAt"}
    fields |= {"published", "vendor", "tags", "pictures", "sku", "inStock", "options", "variants", "parentId"}
    assert product.keys() == fields
    assert product["published"] is True
    assert wanted.items() <= product.items()
    assert expect(guest.get(f"/api/products/{product['id']}"), 200) == product


def test_a_product_can_be_bought_as_soon_as_it_is_created(shop: Shop, buyer: Client) -> None:
    for _ in range(10):
        buyer.buy(shop.product(stock=1))


@pytest.mark.parametrize(
    ("sent", "currency", "kept"),
    [
        ("699.99", "EUR", "699.99"),
        ('"699.99"', "EUR", "699.99"),
        ("0.1", "EUR", "0.10"),
        ("7", "EUR", "7.00"),
        ("0", "EUR", "0.00"),
        ("999999999999.99", "EUR", "999999999999.99"),
        ("1500", "JPY", "1500"),
        ('"1.125"', "KWD", "1.125"),
    ],
)
def test_a_price_is_returned_exactly(admin: Client, sent: str, currency: str, kept: str) -> None:
    raw = f'{{"name": "Lantern", "stock": 1, "price": {sent}, "currency": "{currency}"}}'
    product = expect(admin.post("/api/products", data=raw, headers=JSON), 201)
    assert (product["price"], product["currency"]) == (kept, currency)


@pytest.mark.parametrize(
    ("sent", "currency"),
    [
        ("1.005", "EUR"),
        ('"1.005"', "EUR"),
        ("1500.5", "JPY"),
        ("1.0001", "KWD"),
        ("-1", "EUR"),
        ('"-1"', "EUR"),
        ("1e309", "EUR"),
        ("1000000000000", "EUR"),
        ("true", "EUR"),
        ('"1,50"', "EUR"),
        ('"1e3"', "EUR"),
        ('""', "EUR"),
        ("null", "EUR"),
    ],
)
def test_a_price_invalid_in_its_currency_is_rejected(admin: Client, sent: str, currency: str) -> None:
    raw = f'{{"name": "Lantern", "stock": 1, "price": {sent}, "currency": "{currency}"}}'
    assert refused_fields(admin.post("/api/products", data=raw, headers=JSON)) == ["price"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 256),
        ("name", 7),
        ("stock", -1),
        ("stock", "5"),
        ("stock", True),
        ("stock", 1.5),
        ("stock", 2**63),
        ("currency", "eur"),
        ("currency", "ZZZ"),
        ("description", "x" * 5001),
        ("category", "\u0007"),
        ("version", 3),
        ("id", "mine"),
    ],
)
def test_an_invalid_product_is_rejected_by_field(admin: Client, field: str, value: Any) -> None:
    assert refused_fields(admin.post("/api/products", body(**{field: value}))) == [field]


@pytest.fixture(scope="module")
def shelf(shop: Shop) -> str:
    """A category of its own with four products."""
    category = clock.new_id()
    for name, price, description in (
        ("Axe", "30.00", "Chops wood"),
        ("Caf\u00e9 Cup", "8.50", "Holds coffee"),
        ("Bowl", "12.00", "Wood, turned by hand"),
        ("Drum", "99.99", "Loud"),
    ):
        shop.product(name=name, price=price, description=description, category=category)
    return category


def test_a_category_is_listed_by_name(guest: Client, shelf: str) -> None:
    assert names(guest, f"category={shelf}") == ["Axe", "Bowl", "Caf\u00e9 Cup", "Drum"]


@pytest.mark.parametrize(
    ("sort", "order"),
    [("name", "ABCD"), ("price", "CBAD"), ("-price", "DABC"), ("-createdAt", "DBCA")],
)
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_a_list_keeps_its_order_across_pages(guest: Client, shelf: str, sort: str, order: str, limit: int) -> None:
    found = guest.items(f"/api/products?category={shelf}&sort={sort}", limit=limit)
    assert "".join(item["name"][0] for item in found) == order


@pytest.mark.parametrize(
    ("words", "found"),
    [("wood", "AB"), ("WOOD hand", "B"), ("cafe", "C"), ("caf\u00e9 coffee", "C"), ("loud wood", "")],
)
def test_search_matches_whole_words_without_case_and_accents(guest: Client, shelf: str, words: str, found: str) -> None:
    assert "".join(name[0] for name in names(guest, f"category={shelf}&q={words}")) == found


@pytest.mark.parametrize(
    ("bounds", "found"),
    [("minPrice=12", "ABD"), ("maxPrice=12.00", "BC"), ("minPrice=8.51&maxPrice=30", "AB"), ("minPrice=100", "")],
)
def test_price_bounds_are_inclusive(guest: Client, shelf: str, bounds: str, found: str) -> None:
    assert "".join(name[0] for name in names(guest, f"category={shelf}&{bounds}")) == found


@pytest.mark.parametrize(
    "query",
    [
        "sort=stock",
        "sort=$where",
        "q=.*",
        "q=",
        "minPrice=cheap",
        "minPrice=-1",
        "maxPrice=1.001",
        "limit=0",
        "limit=101",
        "limit=1000000000",
        "limit=ten",
        "cursor=made-up",
        "cursor=%00",
        "page=2",
        "stock[$ne]=1",
        "sort=name&sort=price",
        "inStock=yes",
        "ids=",
        "ids=a,,b",
        "ids=a&q=b",
        "ids=" + ",".join(["a"] * 101),
    ],
)
def test_an_invalid_query_gets_422(guest: Client, query: str) -> None:
    problem(guest.get(f"/api/products?{query}"), 422)


def test_a_cursor_is_valid_only_for_its_list(guest: Client, shelf: str) -> None:
    path = f"/api/products?category={shelf}&limit=1"
    cursor = expect(guest.get(path), 200)["nextCursor"]
    expect(guest.get(f"{path}&cursor={cursor}"), 200)
    assert refused_fields(guest.get(f"/api/products?limit=1&cursor={cursor}")) == ["cursor"]
    assert refused_fields(guest.get(f"{path}&sort=price&cursor={cursor}")) == ["cursor"]
    assert refused_fields(guest.get(f"{path}&cursor={cursor[:-4]}AAAA")) == ["cursor"]


def test_a_change_keeps_the_fields_it_does_not_name(shop: Shop, admin: Client) -> None:
    product = shop.product(description="Old", category="kitchen")
    changed = expect(admin.put(f"/api/products/{product['id']}", {"price": "12.34"}), 200)
    assert changed == {**product, "price": "12.34", "updatedAt": changed["updatedAt"]}
    again = expect(admin.put(f"/api/products/{product['id']}", {"currency": "JPY", "price": 12}), 200)
    assert (again["price"], again["currency"], again["description"]) == ("12", "JPY", "Old")


@pytest.mark.parametrize(
    ("field", "value"), [("stock", 7), ("name", ""), ("price", "1.001"), ("currency", "ZZZ"), ("category", None)]
)
def test_an_invalid_change_is_rejected_by_field(shop: Shop, admin: Client, field: str, value: Any) -> None:
    path = f"/api/products/{shop.product()['id']}"
    assert refused_fields(admin.put(path, {field: value})) == [field]


def test_search_finds_the_new_name_and_not_the_old(shop: Shop, admin: Client, guest: Client) -> None:
    old, new = clock.new_id(), clock.new_id()
    product = shop.product(name=old)
    expect(admin.put(f"/api/products/{product['id']}", {"name": new}), 200)
    assert (names(guest, f"q={old}"), names(guest, f"q={new}")) == ([], [new])


def test_a_deleted_product_gets_404_and_cannot_be_bought(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product(category=(category := clock.new_id()))
    path = f"/api/products/{product['id']}"
    expect(admin.delete(path), 204)
    for response in (buyer.get(path), admin.delete(path), admin.put(path, {"name": "Back"})):
        problem(response, 404)
    problem(admin.patch(f"{path}/stock", {"adjustment": 1}), 404)
    assert names(buyer, f"category={category}") == []
    assert refused_fields(buyer.order(product)) == ["items"]


def test_an_unpublished_product_is_seen_by_administrators_alone(
    shop: Shop, admin: Client, guest: Client, buyer: Client
) -> None:
    category = clock.new_id()
    hidden = shop.product(category=category, name="Hidden", published=False)
    shop.product(category=category, name="Shown")
    path = f"/api/products/{hidden['id']}"
    for client in (guest, buyer, admin):
        problem(client.get(path), 404)
        for query in ("", "&sort=price", "&sort=-createdAt", "&q=hidden", "&minPrice=1"):
            assert "Hidden" not in names(client, f"category={category}{query}")
    for client in (guest, buyer):
        for request in (f"{path}?published=any", f"/api/products?category={category}&published=any"):
            problem(client.get(request), 403)
    problem(admin.get(f"{path}?published=all"), 422)
    response = admin.get(f"{path}?published=any")
    assert (expect(response, 200), response.headers["Cache-Control"]) == (hidden, "no-store")
    response = admin.get(f"/api/products?category={category}&published=any")
    assert [item["published"] for item in expect(response, 200)["items"]] == [False, True]
    assert response.headers["Cache-Control"] == "no-store"
    assert refused_fields(buyer.order(hidden)) == ["items"]


def test_publishing_makes_a_product_visible_and_unpublishing_hides_it(shop: Shop, admin: Client, guest: Client) -> None:
    path = f"/api/products/{shop.product(published=False)['id']}"
    version = admin.get(f"{path}?published=any").headers["ETag"]
    published = expect(admin.put(path, {"published": True}), 200)
    assert expect(guest.get(path), 200) == published and published["published"] is True
    assert guest.get(path).headers["ETag"] != version
    assert expect(admin.put(path, {"name": "Renamed"}), 200)["published"] is True
    expect(admin.put(path, {"published": False}), 200)
    problem(guest.get(path), 404)
    signed_out = Client(shop.url, headers={"Authorization": "Bearer expired"})
    problem(signed_out.get(f"{path}?published=any"), 401)
    problem(signed_out.get(path), 404)
    for value in (None, 1, "true"):
        assert refused_fields(admin.put(path, {"published": value})) == ["published"]


def test_an_order_under_way_keeps_a_product_that_is_unpublished(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product()
    with shop.undecided_payments():
        order = expect(buyer.order(product, paymentToken="tok_slow"), 202)["id"]
        expect(admin.put(f"/api/products/{product['id']}", {"published": False}), 200)
        assert refused_fields(buyer.order(product)) == ["items"]
    assert buyer.final_order(order)["status"] == "confirmed"


def test_a_price_filter_or_order_lists_one_currency(shop: Shop, guest: Client) -> None:
    category = clock.new_id()
    for currency, price in (("EUR", "10"), ("JPY", "500"), ("USD", "5"), ("EUR", "20")):
        shop.product(category=category, name=f"{currency} {price}", currency=currency, price=price)
    assert len(names(guest, f"category={category}")) == 4
    assert names(guest, f"category={category}&sort=-price") == ["EUR 20", "EUR 10"]
    assert names(guest, f"category={category}&minPrice=7") == ["EUR 10", "EUR 20"]
    assert names(guest, f"category={category}&sort=price&currency=USD") == ["USD 5"]
    assert names(guest, f"category={category}&currency=JPY") == ["JPY 500"]
    assert names(guest, f"category={category}&currency=JPY&maxPrice=499") == []
    assert refused_fields(guest.get("/api/products?currency=JPY&minPrice=1.5")) == ["minPrice"]
    for currency in ("ZZZ", "eur", ""):
        assert refused_fields(guest.get(f"/api/products?currency={currency}")) == ["currency"]


def test_names_are_sorted_without_case_and_marks(shop: Shop, guest: Client) -> None:
    category = clock.new_id()
    for name in ("zebra", "Éclair", "eclair", "apple", "Zoo"):
        shop.product(category=category, name=name)
    ordered = ["apple", "eclair", "Éclair", "zebra", "Zoo"]
    assert names(guest, f"category={category}") == ordered
    assert [item["name"] for item in guest.items(f"/api/products?category={category}", limit=2)] == ordered


def as_release_0_2_0_stored(shop: Shop, *products: dict[str, Any]) -> None:
    """Take from stored products what a later release added."""
    added = [*(VERSIONS.defaults.keys() - {"words"}), "_v"]
    old = "json_remove(doc, {})".format(", ".join(f"'$.{name}'" for name in added))
    with closing(sqlite3.connect(shop.data / "store" / "products.db", timeout=10)) as db, db:
        ids = [(each["id"],) for each in products]
        db.executemany(f"UPDATE products SET doc = {old} WHERE id = ?", ids)  # noqa: S608
        db.executemany('DELETE FROM "products:prefixes" WHERE id = ?', ids)


@pytest.mark.embedded
def test_products_of_release_0_2_0_are_sold_and_migrated(
    shop: Shop, admin: Client, guest: Client, buyer: Client
) -> None:
    eventually(
        lambda: (
            [doc["version"] for doc in shop.documents("products", "migrations") if doc["finishedAt"]]
            == [VERSIONS.current]
        )
    )
    category = clock.new_id()
    old = [shop.product(category=category, name=name) for name in ("Zebra", "Éclair", "apple")]
    as_release_0_2_0_stored(shop, *old)
    assert sorted(names(guest, f"category={category}")) == ["Zebra", "apple", "Éclair"]
    assert [expect(guest.get(f"/api/products/{each['id']}"), 200) for each in old] == old
    buyer.buy(old[0])
    expect(admin.put(f"/api/products/{old[2]['id']}", {"published": False}), 200)
    shop.product(category=category, name="new")
    for rewritten in (2, 0):
        done = shop.mercato("migrate", "products", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        row = json.loads(done.stdout)
        assert (row["collection"], row["rewritten"], row["failed"]) == ("products", rewritten, 0)
    assert names(guest, f"category={category}") == ["Éclair", "new", "Zebra"]
    assert names(guest, f"category={category}&q=ecla") == ["Éclair"], "found by what the release before did not store"
    assert all(doc["_v"] == VERSIONS.current for doc in shop.documents("products", "products"))


def test_a_search_forgives_typos_and_says_so(shop: Shop, guest: Client) -> None:
    category = clock.new_id()
    for name in ("Oil lamp", "Cast-iron skillet", "Skillet lid"):
        shop.product(category=category, name=name, vendor="Ferrum & Sons")
    path = f"/api/products?category={category}"
    for query, found in (("skil", "SC"), ("ferrum lamps", "O"), ("FERRUM lid", "S"), ("sons oil", "O")):
        response = expect(guest.get(f"{path}&q={query}"), 200)
        assert ["".join(item["name"][0] for item in response["items"]), response["didYouMean"]] == [found, None]
    response = expect(guest.get(f"{path}&q=skilet"), 200)
    assert [item["name"] for item in response["items"]] == ["Skillet lid", "Cast-iron skillet"]
    assert response["didYouMean"] == "skillet"
    response = expect(guest.get(f"{path}&q=skilet&limit=1&sort=relevance"), 200)
    rest = expect(guest.get(f"{path}&q=skilet&limit=1&sort=relevance&cursor={response['nextCursor']}"), 200)
    assert [rest["items"][0]["name"], rest["nextCursor"]] == ["Cast-iron skillet", None]
    assert refused_fields(guest.get(f"{path}&q=skillet&cursor={response['nextCursor']}")) == ["cursor"]


def test_a_list_is_filtered_by_several_values_and_shows_their_counts(shop: Shop, guest: Client) -> None:
    one, two = sorted((clock.new_id(), clock.new_id()))
    shop.product(category=one, name="A", vendor="Ash", tags=["red", "steel"], stock=0, price="5.00")
    shop.product(category=one, name="B", vendor="Fell", tags=["red"], price="7.00")
    shop.product(category=two, name="C", vendor="Fell", tags=["steel", "steel"], price="9.50")
    both = f"category={one}&category={two}"
    for query, found in (
        ("", "ABC"),
        ("&sort=-price", "CBA"),
        ("&tag=red&tag=steel", "A"),
        ("&vendor=Fell", "BC"),
        ("&vendor=Fell&vendor=Ash", "ABC"),
        ("&inStock=true", "BC"),
        ("&inStock=false", "ABC"),
        ("&tag=steel&inStock=true&maxPrice=9.50", "C"),
    ):
        assert "".join(names(guest, both + query)) == found
        assert "".join(item["name"] for item in guest.items(f"/api/products?{both}{query}", limit=1)) == found
    response = expect(guest.get(f"/api/products?{both}&facets=true&limit=1"), 200)
    assert response["facets"] == {
        "categories": [{"value": one, "count": 2}, {"value": two, "count": 1}],
        "tags": [{"value": "red", "count": 2}, {"value": "steel", "count": 2}],
        "vendors": [{"value": "Fell", "count": 2}, {"value": "Ash", "count": 1}],
        "prices": [{"currency": "EUR", "min": "5.00", "max": "9.50"}],
    }
    assert response["moreThan"] is None
    assert expect(guest.get(f"/api/products?{both}"), 200)["facets"] is None
    categories = expect(guest.get("/api/products/categories"), 200)["items"]
    assert [each for each in categories if each["name"] in (one, two)] == [
        {"name": one, "count": 2},
        {"name": two, "count": 1},
    ]


def test_products_are_listed_by_their_ids_in_order(shop: Shop, admin: Client, guest: Client) -> None:
    first, hidden, last = (shop.product(name=name, published=name != "B") for name in "ABC")
    ids = ",".join((last["id"], hidden["id"], "none", first["id"], last["id"]))
    assert names(guest, f"ids={ids}") == ["C", "A"]
    assert names(admin, f"ids={ids}&published=any") == ["C", "B", "A"]
    assert len(expect(guest.get("/api/products?ids=" + ",".join(f"p{n}" for n in range(100))), 200)["items"]) == 0


def test_administrators_find_low_stock_and_its_history(shop: Shop, admin: Client, guest: Client) -> None:
    category = clock.new_id()
    low = shop.product(name="Low", stock=3, category=category, published=False)
    gone = shop.product(name="Gone", stock=0, category=category)
    shop.product(name="Plenty", stock=9, category=category)
    path = f"/api/products?category={category}&published=any"
    assert [item["name"] for item in admin.items(f"{path}&maxStock=3", limit=1)] == ["Gone", "Low"]
    assert names(admin, f"maxStock=0&category={category}") == ["Gone"]
    problem(guest.get("/api/products?maxStock=3"), 403)
    reason = {"adjustment": 4, "reason": "delivery 17"}
    expect(admin.patch(f"/api/products/{gone['id']}/stock", reason), 200)
    history = f"/api/inventory/{gone['id']}/history"
    adjusted, opened = admin.items(history)
    assert (adjusted["kind"], adjusted["change"], adjusted["available"]) == ("adjusted", 4, 4)
    assert (adjusted["by"], adjusted["reason"]) == (opened["by"], "delivery 17")
    assert opened["by"] == expect(admin.get("/api/users/me"), 200)["id"]
    assert (opened["kind"], opened["change"], opened["reason"]) == ("opened", 0, "")
    assert adjusted["at"] >= opened["at"] and len(admin.items(history, limit=1)) == 2
    problem(guest.get(history), 401)
    problem(admin.get("/api/inventory/none/history"), 404)
    assert low["stock"] == 3


def test_an_adjustment_is_visible_at_once(shop: Shop, admin: Client, guest: Client) -> None:
    product = shop.product(stock=5)
    path = f"/api/products/{product['id']}"
    assert expect(admin.patch(f"{path}/stock", {"adjustment": 3}), 200)["stock"] == 8
    assert expect(admin.patch(f"{path}/stock", {"adjustment": -8}), 200)["stock"] == 0
    assert expect(guest.get(path), 200)["stock"] == 0
    assert shop.stock(product) == (0, 0, 0)


def test_an_adjustment_below_zero_gets_409(shop: Shop, admin: Client) -> None:
    product = shop.product(stock=5)
    response = admin.patch(f"/api/products/{product['id']}/stock", {"adjustment": -6})
    assert problem(response, 409)["title"] == "Insufficient stock"
    assert shop.stock(product) == (5, 0, 0)


@pytest.mark.parametrize("adjustment", [True, "1", 1.5, None, 2**63])
def test_an_adjustment_must_be_an_integer(shop: Shop, admin: Client, adjustment: Any) -> None:
    path = f"/api/products/{shop.product()['id']}/stock"
    assert refused_fields(admin.patch(path, {"adjustment": adjustment})) == ["adjustment"]


def test_a_repeated_adjustment_takes_effect_once(shop: Shop, admin: Client) -> None:
    product = shop.product(stock=5)
    path, key = f"/api/products/{product['id']}/stock", clock.new_id()
    responses = [expect(admin.patch(path, {"adjustment": 3}, key=key), 200)["stock"] for _ in range(3)]
    assert responses == [8, 8, 8]
    assert shop.stock(product) == (8, 0, 0)


def test_the_stock_view_follows_sales(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=5)
    buyer.buy(product, 2)
    eventually(lambda: expect(buyer.get(f"/api/products/{product['id']}"), 200)["stock"] == 3)


def test_an_unknown_product_gets_404(guest: Client, admin: Client) -> None:
    problem(guest.get("/api/products/none"), 404)
    problem(admin.patch("/api/products/none/stock", {"adjustment": 1}), 404)


SIZES = [
    {"options": {"size": "S", "color": "red"}, "price": "12.90", "stock": 4, "sku": "M-S"},
    {"options": {"color": "red", "size": "L"}, "price": "14.90"},
]


def test_a_product_with_variants_is_listed_once_and_its_variants_are_bought(
    admin: Client, guest: Client, buyer: Client
) -> None:
    tag = f"tag-{clock.new_id().lower()}"
    sent = {"name": "Mug", "stock": 6, "category": "Cooking", "tags": [tag], "variants": SIZES}
    key = clock.new_id()
    product = expect(admin.post("/api/products", sent, key=key), 201)
    assert expect(admin.post("/api/products", sent, key=key), 201) == product
    assert product["options"] == [{"name": "size", "values": ["S", "L"]}, {"name": "color", "values": ["red"]}]
    assert (product["price"], product["stock"], product["inStock"]) == ("12.90", 10, True)
    small, large = product["variants"]
    assert [small[name] for name in ("options", "price", "sku", "stock", "picture")] == [
        {"size": "S", "color": "red"},
        "12.90",
        "M-S",
        4,
        None,
    ]
    refused = problem(buyer.order(product), 422)
    assert "order one of them" in refused["errors"][0]["reason"]
    assert buyer.buy(small, 4)["totalAmount"] == "51.60"
    eventually(lambda: expect(guest.get(f"/api/products?tag={tag}"), 200)["items"][0]["stock"] == 6)
    (listed,) = expect(guest.get(f"/api/products?tag={tag}&facets=true"), 200)["items"]
    assert (listed["id"], [each["stock"] for each in listed["variants"]]) == (product["id"], [0, 6])
    found = expect(guest.get(f"/api/products/{large['id']}"), 200)
    assert (found["name"], found["parentId"], found["tags"]) == ("Mug - L / red", product["id"], [tag])
    assert problem(admin.patch(f"/api/products/{product['id']}/stock", {"adjustment": 1}), 422)
    expect(admin.put(f"/api/products/{large['id']}", {"price": "9.00"}), 200)
    assert expect(guest.get(f"/api/products/{product['id']}"), 200)["price"] == "9.00"
    assert names(guest, f"ids={large['id']},{product['id']}") == ["Mug - L / red", "Mug"]
    expect(admin.delete(f"/api/products/{product['id']}"), 204)
    problem(guest.get(f"/api/products/{large['id']}"), 404)
    assert buyer.order(large).status_code == 422


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"variants": [{"options": {}, "price": "1", "stock": 1}]}, "variants[0].options"),
        ({"variants": [{"options": {"size": "S"}, "stock": 1}]}, "variants[0].price"),
        ({"variants": [{"options": {"size": "S"}, "price": "1"}]}, "variants[0].stock"),
        ({"variants": SIZES + SIZES[:1], "stock": 1}, "variants[2].options"),
        ({"variants": [*SIZES, {"options": {"size": "M"}, "price": "1"}], "stock": 1}, "variants[2].options"),
        ({"variants": [{"options": {"size": "S"}, "price": "1.999", "stock": 1}]}, "variants[0].price"),
        ({"variants": [{"options": {"size": "S"}, "price": "1", "stock": 1}], "sku": "M"}, "sku"),
        ({"price": "1"}, "stock"),
        ({"stock": 1}, "price"),
    ],
)
def test_invalid_variants_get_422(admin: Client, sent: dict[str, Any], field: str) -> None:
    assert field in refused_fields(admin.post("/api/products", {"name": "Mug", **sent}))
