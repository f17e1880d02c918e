"""What holds on every route: who may ask, how errors look, what a body may be, what stays inside, versions, health."""

import gzip
import http.client
import json
from typing import Any

import pytest

from mercato.catalog import catalog
from tests.system.platform import Client, Shop, expect, problem, refused_fields

SERVICES = tuple(catalog())
JSON = {"Content-Type": "application/json"}

Row = tuple[str, str, dict[str, Any] | None]
SIGNED_IN: list[Row] = [
    ("GET", "/api/users/me", None),
    ("GET", "/api/users/{user}", None),
    ("PUT", "/api/users/{user}", {"name": "Ada"}),
    ("DELETE", "/api/users/{user}", None),
    ("POST", "/api/orders", {"productId": "{product}", "quantity": 1}),
    ("GET", "/api/orders", None),
    ("GET", "/api/orders/{order}", None),
    ("GET", "/api/orders/{order}/timeline", None),
    ("POST", "/api/orders/{order}/cancel", None),
    ("GET", "/api/payments", None),
    ("GET", "/api/payments/{order}", None),
    ("GET", "/api/notifications", None),
]
ADMIN: list[Row] = [
    ("GET", "/api/users", None),
    ("POST", "/api/products", {"name": "Cup", "price": "1.00", "stock": 1}),
    ("PUT", "/api/products/{product}", {"name": "Cup"}),
    ("DELETE", "/api/products/{product}", None),
    ("PATCH", "/api/products/{product}/stock", {"adjustment": 1}),
    ("GET", "/api/inventory/{product}", None),
    ("GET", "/api/inventory/{product}/reservations", None),
    ("POST", "/api/orders/{order}/ship", None),
    ("POST", "/api/orders/{order}/deliver", None),
]
ANYONE: list[tuple[str, str, dict[str, Any] | None, int]] = [
    ("GET", "/api/products", None, 200),
    ("GET", "/api/products/{product}", None, 200),
    ("GET", "/api/auth/jwks.json", None, 200),
    ("POST", "/api/users", {}, 422),
    ("POST", "/api/auth/login", {}, 422),
    ("POST", "/api/auth/refresh", {}, 422),
    ("POST", "/api/auth/logout", {}, 422),
]


@pytest.fixture(scope="module")
def things(shop: Shop) -> dict[str, str]:
    """A user with a product and an order of it."""
    owner, product = shop.shopper(), shop.product()
    return {"user": owner.id, "product": product["id"], "order": owner.buy(product)["id"]}


def filled(path: str, things: dict[str, str]) -> str:
    return path.format(**things)


@pytest.mark.parametrize(("method", "path", "body"), SIGNED_IN + ADMIN)
def test_nobody_is_asked_to_sign_in(
    nobody: Client, things: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = nobody.ask(method, filled(path, things), body)
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "body"), ADMIN)
def test_a_shopper_may_not_do_what_the_administrator_does(
    buyer: Client, things: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    problem(buyer.ask(method, filled(path, things), body), 403)


@pytest.mark.parametrize(("method", "path", "body"), [row for row in SIGNED_IN if "{" in row[1]])
def test_what_belongs_to_another_is_not_there(
    buyer: Client, things: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    problem(buyer.ask(method, filled(path, things), body), 404)


@pytest.mark.parametrize(("method", "path", "body", "status"), ANYONE)
def test_what_is_open_to_anyone_asks_for_no_token(
    shop: Shop, things: dict[str, str], method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    for client in (shop.nobody(), Client(shop.url, "garbage")):
        expect(client.ask(method, filled(path, things), body), status)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"name": "a", "name": "b"}',
        b'{"items": [{"quantity": 1, "quantity": 2}]}',
        b'{"quantity": NaN}',
        b'{"quantity": Infinity}',
        b'{"quantity": 01}',
        b'{"name": "\xff"}',
        b'\xef\xbb\xbf{"quantity": 1}',
        b'{"quantity": 1} {}',
        b'{"items": ' + b"[" * 21 + b"]" * 21 + b"}",
        b"[" * 30_000,
        b'{"a": ' * 5_000,
    ],
)
def test_a_body_that_is_not_json_by_the_letter_is_malformed(buyer: Client, raw: bytes) -> None:
    problem(buyer.post("/api/orders", data=raw, headers=JSON), 400)


@pytest.mark.parametrize("raw", ["[]", "null", "1", '"text"', "true", '{"quantity": 1e309, "productId": "p"}'])
def test_a_body_of_another_shape_is_refused(buyer: Client, raw: str) -> None:
    problem(buyer.post("/api/orders", data=raw, headers=JSON), 422)


def test_an_endless_number_is_refused(buyer: Client) -> None:
    raw = '{"productId": "p", "quantity": 1' + "0" * 400 + "}"
    assert buyer.post("/api/orders", data=raw, headers=JSON).status_code in (400, 422)


def test_a_lone_surrogate_is_no_text(nobody: Client) -> None:
    raw = '{"email": "a@example.com", "password": "12345678", "name": "ab\\ud800"}'
    assert nobody.post("/api/users", data=raw, headers=JSON).status_code in (400, 422)


@pytest.mark.parametrize(("size", "status"), [(65_536, 422), (65_537, 413), (70_000, 413), (300_000, 413)])
def test_a_body_may_have_64_kib_and_not_a_byte_more(shop: Shop, admin: Client, size: int, status: int) -> None:
    start, end = b'{"name": "a", "price": "1", "stock": -1, "description": "', b'"}'
    raw = start + b"x" * (size - len(start) - len(end)) + end
    for client in (admin, Client(shop.at("products"), admin.token)):
        for _ in range(5):
            problem(client.post("/api/products", data=raw, headers=JSON), status)
            problem(client.post("/api/products", data=iter([raw[:9], raw[9:]]), headers=JSON), status)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_a_body_of_another_type_is_not_taken(buyer: Client, kind: str) -> None:
    raw = json.dumps({"productId": "p", "quantity": 1}).encode()
    problem(buyer.post("/api/orders", data=raw, headers={"Content-Type": kind} if kind else {}), 415)


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, gzip"])
def test_a_compressed_body_is_not_taken(buyer: Client, coding: str) -> None:
    raw = gzip.compress(b'{"productId": "p", "quantity": 1}')
    problem(buyer.post("/api/orders", data=raw, headers={**JSON, "Content-Encoding": coding}), 415)


def test_a_charset_beside_the_type_does_no_harm(buyer: Client) -> None:
    raw = b'{"productId": "p", "quantity": 0}'
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert refused_fields(buyer.post("/api/orders", data=raw, headers=headers)) == ["quantity"]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1e3", "ten", "1000000000", ""])
@pytest.mark.parametrize("path", ["/api/users", "/api/products", "/api/orders", "/api/payments", "/api/notifications"])
def test_a_list_refuses_a_limit_outside_its_bounds(admin: Client, path: str, limit: str) -> None:
    assert refused_fields(admin.get(path, params={"limit": limit})) == ["limit"]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "' OR 1=1", "%", "\u00e9", "x" * 1001, "e30=", "../.."])
@pytest.mark.parametrize("path", ["/api/users", "/api/products", "/api/orders", "/api/payments", "/api/notifications"])
def test_a_list_refuses_a_cursor_it_did_not_give(admin: Client, path: str, cursor: str) -> None:
    assert refused_fields(admin.get(path, params={"cursor": cursor})) == ["cursor"]


def test_a_list_has_twenty_items_unless_asked_for_more(shop: Shop, nobody: Client) -> None:
    for _ in range(21):
        shop.product(category="twenty-one")
    page = expect(nobody.get("/api/products?category=twenty-one"), 200)
    assert page.keys() == {"items", "nextCursor"}
    assert len(page["items"]) == 20
    rest = expect(nobody.get(f"/api/products?category=twenty-one&cursor={page['nextCursor']}"), 200)
    assert (len(rest["items"]), rest["nextCursor"]) == (1, None)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics",
        "/livez",
        "/internal/",
        "/internal/Charge",
        "/internal/charge",
        "/api/orders/../../internal/Charge",
        "/api/orders/%2e%2e/%2e%2e/metrics",
        "//api/orders",
        "/api//orders",
        "/api/orders/",
        "/api/ordersx",
        "/API/orders",
        "/api/orders/a%00b",
        "/api/orders/a%2Fb",
        "/api/orders/" + "x" * 65,
        "/api/users/..",
        "/api/users/%F0%9F%92%A9",
        "/console",
        "/debug",
    ],
)
def test_a_path_outside_the_contract_leads_nowhere(shop: Shop, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(shop.port), timeout=10)
    for method in ("GET", "POST"):
        headers = {**JSON, "Authorization": f"Bearer {shop.admin().token}"}
        connection.request(method, path, b"{}" if method == "POST" else None, headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.status == body["status"]
        assert answer.status in (400, 404) or (method, answer.status) == ("POST", 405)
    connection.close()


def test_a_method_that_a_path_does_not_know_is_refused(buyer: Client) -> None:
    answer = buyer.delete("/api/orders")
    problem(answer, 405)
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) >= {"GET", "POST"}


@pytest.mark.parametrize("path", ["/api/products/{product}", "/api/users/{user}"])
def test_a_version_that_is_not_the_present_one_changes_nothing(shop: Shop, admin: Client, path: str) -> None:
    path = path.format(product=shop.product()["id"], user=shop.shopper().id)
    first = admin.get(path).headers["ETag"]
    assert first.startswith('"')
    changed = admin.put(path, {"name": "Second"}, headers={"If-Match": first})
    second = changed.headers["ETag"]
    assert expect(changed, 200)["name"] == "Second"
    assert second != first
    for stale in (first, '"999"', "nonsense", "W/" + second):
        problem(admin.put(path, {"name": "Third"}, headers={"If-Match": stale}), 412)
        problem(admin.delete(path, headers={"If-Match": stale}), 412)
    answer = admin.get(path)
    assert (expect(answer, 200)["name"], answer.headers["ETag"]) == ("Second", second)
    expect(admin.put(path, {"name": "Third"}, headers={"If-Match": "*"}), 200)
    expect(admin.delete(path, headers={"If-Match": admin.get(path).headers["ETag"]}), 204)


def test_stock_that_moves_does_not_change_the_version(shop: Shop, admin: Client, buyer: Client) -> None:
    path = f"/api/products/{(product := shop.product())['id']}"
    before = admin.get(path).headers["ETag"]
    buyer.buy(product)
    expect(admin.patch(f"{path}/stock", {"adjustment": 4}), 200)
    assert admin.get(path).headers["ETag"] == before


def test_each_single_resource_has_a_strong_version(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product())
    for path in ("/api/users/me", f"/api/orders/{order['id']}", f"/api/products/{order['items'][0]['productId']}"):
        assert buyer.get(path).headers["ETag"].startswith('"')


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_says_that_it_is_healthy(shop: Shop, nobody: Client, service: str) -> None:
    healthy = {"status": "healthy", "service": service}
    assert expect(nobody.get(f"/api/{service}/health"), 200) == healthy
    assert expect(Client(shop.at(service)).get("/health"), 200) == healthy


@pytest.mark.parametrize("kind", ["web", "worker"])
@pytest.mark.parametrize("service", SERVICES)
def test_each_process_answers_probes_and_metrics_on_its_health_port(shop: Shop, service: str, kind: str) -> None:
    client = Client(shop.health(service, kind))
    for probe in ("/livez", "/readyz", "/startupz"):
        assert client.get(probe).status_code == 200
    metrics = client.get("/metrics")
    assert metrics.status_code == 200
    assert "# TYPE " in metrics.text
    assert client.get("/anything").status_code == 404


def test_a_service_that_stands_still_is_told_as_unavailable_and_stops_no_other(shop: Shop, admin: Client) -> None:
    product = shop.product()
    with shop.frozen("inventory"):
        answer = admin.post("/api/products", {"name": "Cup", "price": "1.00", "stock": 1})
        assert problem(answer, 503)["title"] == "Unavailable"
        assert int(answer.headers["Retry-After"]) >= 1
        expect(admin.get(f"/api/products/{product['id']}"), 200)
        expect(admin.get("/api/orders"), 200)
    expect(admin.get(f"/api/inventory/{product['id']}"), 200)
