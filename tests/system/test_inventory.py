"""`/api/inventory`: what is there, what is held, what is sold."""

from tests.system.platform import Client, Shop, expect, problem


def test_a_product_has_its_stock_from_the_start(shop: Shop, admin: Client) -> None:
    product = shop.product(stock=7)
    stock = expect(admin.get(f"/api/inventory/{product['id']}"), 200)
    assert stock.keys() == {"productId", "available", "reserved", "sold", "updatedAt"}
    assert stock["productId"] == product["id"]
    assert shop.stock(product) == (7, 0, 0)


def test_a_confirmed_order_moves_its_units_from_available_to_sold(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=7)
    buyer.buy(product, 3)
    assert shop.stock(product) == (4, 0, 3)


def test_an_order_that_waits_for_its_payment_holds_its_units(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=7)
    order = expect(buyer.order(product, 3, paymentToken="tok_slow"), 202)
    assert shop.stock(product) == (4, 3, 0)
    buyer.final(order["id"])
    assert shop.stock(product) == (4, 0, 3)


def test_a_declined_payment_gives_every_unit_back(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=7)
    problem(buyer.order(product, 3, paymentToken="tok_declined"), 402)
    assert shop.stock(product) == (7, 0, 0)


def test_what_cannot_be_had_whole_is_not_held_in_part(shop: Shop, buyer: Client) -> None:
    plenty, scarce = shop.product(stock=7), shop.product(stock=1)
    items = [{"productId": plenty["id"], "quantity": 3}, {"productId": scarce["id"], "quantity": 2}]
    problem(buyer.post("/api/orders", {"items": items}), 409)
    assert (shop.stock(plenty), shop.stock(scarce)) == ((7, 0, 0), (1, 0, 0))


def test_reservations_are_listed_with_their_order_and_state(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product(stock=7)
    path = f"/api/inventory/{product['id']}/reservations"
    assert admin.items(path) == []
    sold = buyer.buy(product, 2)["id"]
    declined = problem(buyer.order(product, 3, paymentToken="tok_declined"), 402)["orderId"]
    listed = admin.items(path, limit=1)
    assert all(item.keys() == {"orderId", "quantity", "status", "expiresAt"} for item in listed)
    found = [(item["orderId"], item["quantity"], item["status"]) for item in listed]
    assert found == [(sold, 2, "confirmed"), (declined, 3, "released")]


def test_an_unknown_product_has_no_stock(admin: Client) -> None:
    problem(admin.get("/api/inventory/none"), 404)
    problem(admin.get("/api/inventory/none/reservations"), 404)
