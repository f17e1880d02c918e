"""`/api/inventory`: available, reserved and sold units."""

from tests.system.platform import Client, Shop, expect, problem


def test_a_new_product_has_its_stock(shop: Shop, admin: Client) -> None:
    product = shop.product(stock=7)
    stock = expect(admin.get(f"/api/inventory/{product['id']}"), 200)
    assert stock.keys() == {"productId", "available", "reserved", "sold", "updatedAt"}
    assert stock["productId"] == product["id"]
    assert shop.stock(product) == (7, 0, 0)


def test_a_confirmed_order_sells_its_units(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=7)
    buyer.buy(product, 3)
    assert shop.stock(product) == (4, 0, 3)


def test_a_pending_payment_keeps_the_units_reserved(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=7)
    with shop.undecided_payments():
        order = expect(buyer.order(product, 3, paymentToken="tok_slow"), 202)
        assert shop.stock(product) == (4, 3, 0)
    buyer.final_order(order["id"])
    assert shop.stock(product) == (4, 0, 3)


def test_a_declined_payment_releases_every_unit(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=7)
    problem(buyer.order(product, 3, paymentToken="tok_declined"), 402)
    assert shop.stock(product) == (7, 0, 0)


def test_an_order_that_is_short_of_one_product_reserves_nothing(shop: Shop, buyer: Client) -> None:
    plenty, scarce = shop.product(stock=7), shop.product(stock=1)
    items = [{"productId": plenty["id"], "quantity": 3}, {"productId": scarce["id"], "quantity": 2}]
    problem(buyer.post("/api/orders", {"items": items}), 409)
    assert (shop.stock(plenty), shop.stock(scarce)) == ((7, 0, 0), (1, 0, 0))


def test_reservations_are_listed_with_order_and_status(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product(stock=7)
    path = f"/api/inventory/{product['id']}/reservations"
    assert admin.items(path) == []
    sold = buyer.buy(product, 2)["id"]
    declined = problem(buyer.order(product, 3, paymentToken="tok_declined"), 402)["orderId"]
    listed = admin.items(path, limit=1)
    assert all(item.keys() == {"orderId", "quantity", "status", "expiresAt"} for item in listed)
    found = [(item["orderId"], item["quantity"], item["status"]) for item in listed]
    assert found == [(sold, 2, "confirmed"), (declined, 3, "released")]


def test_the_stock_of_an_unknown_product_gets_404(admin: Client) -> None:
    problem(admin.get("/api/inventory/none"), 404)
    problem(admin.get("/api/inventory/none/reservations"), 404)
