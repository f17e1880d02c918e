"""Every hostile value in every field of every route is rejected, and changes nothing."""

from decimal import Decimal

import pytest

from chassis import clock
from tests import dump
from tests.faults import checker
from tests.hostile import values
from tests.hostile.actors import Actors
from tests.hostile.connection import Connection, Response
from tests.hostile.contract import Route, routes
from tests.hostile.inputs import Input, inputs
from tests.system.platform import PASSWORD, eventually

MIN_REQUESTS = 600
ALL = [route for route in routes() if not route.path.endswith("/health") and not route.is_signed]
SENT_INPUTS: set[tuple[object, ...]] = set()


def send(connection: Connection, route: Route, token: str, each: Input) -> Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if each.body is not None:
        headers["Content-Type"] = route.media_type or "application/json"
    headers |= each.headers
    return connection.ask(route.method, each.target, headers, each.body)


@pytest.fixture(scope="module")
def nothing_changed(actors: Actors) -> object:
    """Check that the objects of the owner are unchanged at the end."""
    eventually(lambda: not checker.unfinished_work(dump.read(actors.shop.place)))
    paths = [f"/api/{service}/{id}" for service, id in actors.owned_ids.items() if service != "carts"]
    before = [_read(actors, path) for path in paths]
    yield
    assert [_read(actors, path) for path in paths] == before


def _read(actors: Actors, path: str) -> dict[str, object]:
    found: dict[str, object] = actors.admin.get(path).json()
    return {name: value for name, value in found.items() if name != "traceId"}


@pytest.mark.parametrize("route", ALL, ids=str)
@pytest.mark.usefixtures("nothing_changed")
def test_invalid_input_is_rejected_with_the_declared_status(actors: Actors, route: Route) -> None:
    connection, token, failures = Connection(actors.shop.port), actors.allowed_client(route).token, []
    for each in inputs(route, actors.target(route), actors.example(route)):
        answer = send(connection, route, token, each)
        SENT_INPUTS.add(each.fingerprint(route))
        if fault := answer.mismatch(*each.statuses):
            failures.append(f"{each.what} {each.target[:80]} {(each.body or b'')[:80]!r} {each.headers}: {fault}")
    assert not failures, f"{len(failures)} mismatches:\n" + "\n".join(failures[:40])


NEEDS_TOKEN = [route for route in ALL if not (route.is_public or route.takes_any_caller)]


@pytest.mark.parametrize("route", [route for route in NEEDS_TOKEN if route.body], ids=str)
def test_checks_run_in_order_size_token_rest(actors: Actors, route: Route) -> None:
    connection, target = Connection(actors.shop.port), actors.target(route)
    for raw, status in ((b" " * 65_537, 413), (b"{", 401), (b'{"nonsense": 1}', 401)):
        assert not send(connection, route, "", Input("", target, (), raw)).mismatch(status)
    assert not send(connection, route, "", Input("", target, (), b"{}", {"Content-Type": "text/plain"})).mismatch(401)


@pytest.mark.parametrize("words", ["(a%2B)%2B%24", "%5Ea.*%24", "kettle%7C.*", "a%25", "%22kettle%22*", "NEAR(a)"])
def test_search_treats_expressions_as_words(actors: Actors, words: str) -> None:
    answer = actors.connection.ask("GET", f"/api/products?q={words}", {})
    assert answer.status == 200
    assert len(answer.data()["items"]) <= 20


@pytest.mark.parametrize("words", [".*", "%25", "*", "%5B%5D", "--", "%F0%9F%92%A9", "%20"])
def test_search_without_a_word_is_rejected(actors: Actors, words: str) -> None:
    assert not actors.connection.ask("GET", f"/api/products?q={words}", {}).mismatch(422)


@pytest.mark.parametrize("text", values.UNUSUAL_TEXTS)
def test_unusual_text_is_stored_unchanged(actors: Actors, text: str) -> None:
    product = actors.admin.post("/api/products", {"name": text, "price": "1.00", "stock": 1, "category": text})
    assert product.status_code == 201
    read = actors.admin.get(product.headers["Location"])
    assert (read.json()["name"], read.json()["category"]) == (text, text)
    assert actors.admin.get("/api/products", params={"category": text}).json()["items"]


def test_spellings_of_one_address_are_one_account(actors: Actors) -> None:
    name = clock.new_id().lower()
    for form, status in (("\u00e9", 201), ("e\u0301", 409), ("\u00c9", 409)):
        person = {"email": f"{form}{name}@example.com", "name": "Twin", "password": PASSWORD}
        assert actors.shop.guest().post("/api/users", person).status_code == status


LARGEST = {"EUR": "9999999999999.99", "KWD": "999999999999.999", "BHD": "999999999999.999", "JPY": "999999999999999"}


@pytest.mark.parametrize(
    ("currency", "price", "quantity"),
    [
        ("KWD", "999999999999", 9224),
        ("BHD", "999999999999.999", 10_000),
        ("EUR", "99999999999", 1001),
        ("JPY", "999999999999", 10_000),
        ("EUR", "999999999999.99", 11),
        ("JPY", "999999999999", 1002),
    ],
)
def test_total_beyond_the_bound_is_rejected_by_name(actors: Actors, currency: str, price: str, quantity: int) -> None:
    product = actors.shop.product(price=price, currency=currency, stock=10_000)
    buyer = actors.other.client
    before = len(buyer.items("/api/orders"))
    answer = buyer.order(product, quantity)
    assert answer.status_code == 422
    total, places = Decimal(price) * quantity, len(LARGEST[currency].partition(".")[2])
    (error,) = answer.json()["errors"]
    assert f"the total is {total:.{places}f} {currency}" in error["reason"]
    assert LARGEST[currency] in error["reason"]
    assert len(buyer.items("/api/orders")) == before
    assert actors.shop.stock(product) == (10_000, 0, 0)


def test_largest_total_can_be_ordered_and_expected(actors: Actors) -> None:
    product = actors.shop.product(price="999999999999", currency="JPY", stock=1001)
    expected = {"expectedTotal": "1000999999998999", "expectedCurrency": "JPY"}
    assert actors.other.client.order(product, 1001, **expected).status_code == 422, "above the bound"
    expected = {"expectedTotal": "999999999999000", "expectedCurrency": "JPY"}
    assert actors.other.client.order(product, 1000, **expected).json()["totalAmount"] == "999999999999000"


def test_changed_price_is_not_charged(actors: Actors) -> None:
    product, buyer = actors.shop.product(price="10.00", stock=5), actors.other.client
    path, before = f"/api/products/{product['id']}", len(buyer.items("/api/orders"))
    assert actors.admin.put(path, {"price": "12.50"}).status_code == 200
    answer = buyer.order(product, 2, expectedTotal="20.00")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/price-changed")
    assert (answer.json()["totalAmount"], answer.json()["items"][0]["price"]) == ("25.00", "12.50")
    assert actors.admin.put(path, {"currency": "USD"}).status_code == 200
    assert buyer.order(product, 2, expectedTotal="25.00", expectedCurrency="EUR").status_code == 409
    assert len(buyer.items("/api/orders")) == before
    assert actors.shop.stock(product) == (5, 0, 0)
    placed = buyer.order(product, 2, expectedTotal="25.00", expectedCurrency="USD")
    assert (placed.status_code, placed.json()["totalAmount"]) == (201, "25.00")


def test_table_yields_enough_inputs() -> None:
    assert len(SENT_INPUTS) >= MIN_REQUESTS, "or not every route was run"
    print(f"{len(SENT_INPUTS)} distinct hostile inputs")
