"""Rules of every route: authorization, errors, bodies, lists, private paths, versions, health."""

import gzip
import http.client
import json
import re
from typing import Any

import pytest

from mercato.catalog import catalog, processes
from tests.system.platform import PASSWORD, Client, Shop, expect, problem, refused_fields

pytestmark = pytest.mark.any_engine
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
    ("POST", "/api/products/imports", {"items": [{"id": "cup"}]}),
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
def ids(shop: Shop) -> dict[str, str]:
    """The ids of a user, a product, and an order of it."""
    owner, product = shop.shopper(), shop.product()
    return {"user": owner.id, "product": product["id"], "order": owner.buy(product)["id"]}


def fill(path: str, ids: dict[str, str]) -> str:
    return path.format(**ids)


@pytest.mark.parametrize(("method", "path", "body"), SIGNED_IN + ADMIN)
def test_a_request_without_a_token_gets_401(
    guest: Client, ids: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    response = guest.request(method, fill(path, ids), body)
    problem(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "body"), ADMIN)
def test_a_shopper_gets_403_on_admin_routes(
    buyer: Client, ids: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    problem(buyer.request(method, fill(path, ids), body), 403)


@pytest.mark.parametrize(("method", "path", "body"), [row for row in SIGNED_IN if "{" in row[1]])
def test_a_resource_of_another_user_gets_404(
    buyer: Client, ids: dict[str, str], method: str, path: str, body: dict[str, Any] | None
) -> None:
    problem(buyer.request(method, fill(path, ids), body), 404)


@pytest.mark.parametrize(("method", "path", "body", "status"), ANYONE)
def test_public_routes_need_no_token(
    shop: Shop, ids: dict[str, str], method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    for client in (shop.guest(), Client(shop.url, "garbage")):
        expect(client.request(method, fill(path, ids), body), status)


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
def test_a_body_that_is_not_strict_json_gets_400(buyer: Client, raw: bytes) -> None:
    problem(buyer.post("/api/orders", data=raw, headers=JSON), 400)


@pytest.mark.parametrize("raw", ["[]", "null", "1", '"text"', "true", '{"quantity": 1e309, "productId": "p"}'])
def test_a_body_of_the_wrong_shape_gets_422(buyer: Client, raw: str) -> None:
    problem(buyer.post("/api/orders", data=raw, headers=JSON), 422)


def test_a_number_of_400_digits_is_rejected(buyer: Client) -> None:
    raw = '{"productId": "p", "quantity": 1' + "0" * 400 + "}"
    assert buyer.post("/api/orders", data=raw, headers=JSON).status_code in (400, 422)


def test_a_lone_surrogate_is_rejected(guest: Client) -> None:
    raw = '{"email": "a@example.com", "password": "12345678", "name": "ab\\ud800"}'
    assert guest.post("/api/users", data=raw, headers=JSON).status_code in (400, 422)


@pytest.mark.parametrize(("size", "status"), [(65_536, 422), (65_537, 413), (70_000, 413), (300_000, 413)])
def test_a_body_above_64_kib_gets_413(shop: Shop, admin: Client, size: int, status: int) -> None:
    start, end = b'{"name": "a", "price": "1", "stock": -1, "description": "', b'"}'
    raw = start + b"x" * (size - len(start) - len(end)) + end
    for client in (admin, Client(shop.url_of("products"), admin.token)):
        for _ in range(5):
            problem(client.post("/api/products", data=raw, headers=JSON), status)
            problem(client.post("/api/products", data=iter([raw[:9], raw[9:]]), headers=JSON), status)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_a_body_of_another_content_type_gets_415(buyer: Client, kind: str) -> None:
    raw = json.dumps({"productId": "p", "quantity": 1}).encode()
    problem(buyer.post("/api/orders", data=raw, headers={"Content-Type": kind} if kind else {}), 415)


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, gzip"])
def test_a_compressed_body_gets_415(buyer: Client, coding: str) -> None:
    raw = gzip.compress(b'{"productId": "p", "quantity": 1}')
    problem(buyer.post("/api/orders", data=raw, headers={**JSON, "Content-Encoding": coding}), 415)


def test_a_charset_in_the_content_type_is_accepted(buyer: Client) -> None:
    raw = b'{"productId": "p", "quantity": 0}'
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert refused_fields(buyer.post("/api/orders", data=raw, headers=headers)) == ["quantity"]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1e3", "ten", "1000000000", ""])
@pytest.mark.parametrize("path", ["/api/users", "/api/products", "/api/orders", "/api/payments", "/api/notifications"])
def test_a_list_rejects_a_limit_out_of_bounds(admin: Client, path: str, limit: str) -> None:
    assert refused_fields(admin.get(path, params={"limit": limit})) == ["limit"]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "' OR 1=1", "%", "\u00e9", "x" * 1001, "e30=", "../.."])
@pytest.mark.parametrize("path", ["/api/users", "/api/products", "/api/orders", "/api/payments", "/api/notifications"])
def test_a_list_rejects_a_foreign_cursor(admin: Client, path: str, cursor: str) -> None:
    assert refused_fields(admin.get(path, params={"cursor": cursor})) == ["cursor"]


def test_a_list_page_has_20_items_by_default(shop: Shop, guest: Client) -> None:
    for _ in range(21):
        shop.product(category="twenty-one")
    page = expect(guest.get("/api/products?category=twenty-one"), 200)
    assert page.keys() >= {"items", "nextCursor"}
    assert len(page["items"]) == 20
    rest = expect(guest.get(f"/api/products?category=twenty-one&cursor={page['nextCursor']}"), 200)
    assert (len(rest["items"]), rest["nextCursor"]) == (1, None)


@pytest.mark.parametrize(
    "path",
    [
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
def test_a_path_outside_the_contract_gets_404(shop: Shop, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(shop.port), timeout=10)
    for method in ("GET", "POST"):
        headers = {**JSON, "Authorization": f"Bearer {shop.admin().token}"}
        connection.request(method, path, b"{}" if method == "POST" else None, headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.status == body["status"]
        assert response.status in (400, 404) or (method, response.status) == ("POST", 405)
    connection.close()


def test_an_unknown_method_gets_405(buyer: Client) -> None:
    response = buyer.delete("/api/orders")
    problem(response, 405)
    assert set(response.headers["Allow"].replace(" ", "").split(",")) >= {"GET", "POST"}


@pytest.mark.parametrize("path", ["/api/products/{product}", "/api/users/{user}"])
def test_a_stale_if_match_gets_412_and_changes_nothing(shop: Shop, admin: Client, path: str) -> None:
    path = path.format(product=shop.product()["id"], user=shop.shopper().id)
    first = admin.get(path).headers["ETag"]
    assert first.startswith('"')
    changed = admin.put(path, {"name": "Second"}, headers={"If-Match": first})
    second = changed.headers["ETag"]
    assert expect(changed, 200)["name"] == "Second"
    assert second != first
    for stale in (first, '"999"', "nonsense", "W/" + first):
        problem(admin.put(path, {"name": "Third"}, headers={"If-Match": stale}), 412)
        problem(admin.delete(path, headers={"If-Match": stale}), 412)
    response = admin.get(path)
    assert (expect(response, 200)["name"], response.headers["ETag"]) == ("Second", second)
    expect(admin.put(path, {"name": "Third"}, headers={"If-Match": "*"}), 200)
    third = admin.get(path).headers["ETag"]
    expect(admin.put(path, {"name": "Fourth"}, headers={"If-Match": f'"77", W/{third}'}), 200)
    body = {"currentPassword": admin.password} if path.startswith("/api/users/") else None
    expect(admin.delete(path, json=body, headers={"If-Match": admin.get(path).headers["ETag"]}), 204)


def test_a_stock_change_is_seen_but_blocks_no_write(shop: Shop, admin: Client) -> None:
    path = f"/api/products/{shop.product(stock=3)['id']}"
    before = admin.get(path).headers["ETag"]
    unchanged = admin.get(path, headers={"If-None-Match": f'"0", W/{before}'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", before)
    expect(admin.patch(f"{path}/stock", {"adjustment": 4}), 200)
    assert expect(admin.get(path, headers={"If-None-Match": before}), 200)["stock"] == 7
    expect(admin.put(path, {"name": "Renamed"}, headers={"If-Match": before}), 200)
    problem(admin.put(path, {"name": "Again"}, headers={"If-Match": before}), 412)


def test_only_the_public_catalog_may_be_cached(shop: Shop, guest: Client, buyer: Client) -> None:
    path = f"/api/products/{shop.product()['id']}"
    for public in (guest.get(path), guest.get("/api/products?limit=1")):
        assert public.headers["Cache-Control"] == "public, max-age=30"
    login = guest.post("/api/auth/login", {"email": buyer.email, "password": PASSWORD})
    for personal in (login, buyer.get("/api/users/me"), buyer.get("/api/orders"), guest.get("/api/products/none")):
        assert personal.headers["Cache-Control"] == "no-store"
    for response in (guest.get(path), login, guest.get("/nowhere")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"\d", response.headers.get("Server", ""))


def test_single_resources_have_a_strong_etag(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product())
    for path in ("/api/users/me", f"/api/orders/{order['id']}", f"/api/products/{order['items'][0]['productId']}"):
        assert buyer.get(path).headers["ETag"].startswith('"')


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_reports_healthy(shop: Shop, guest: Client, service: str) -> None:
    healthy = {"status": "healthy", "service": service}
    assert expect(guest.get(f"/api/{service}/health"), 200) == healthy
    assert expect(Client(shop.url_of(service)).get("/health"), 200) == healthy


def test_the_front_door_reports_healthy(guest: Client) -> None:
    assert expect(guest.get("/health"), 200)["status"] == "healthy"
    assert guest.get("/health/x").status_code == 404


@pytest.mark.parametrize(("service", "kind"), processes())
def test_every_process_serves_probes_and_metrics(shop: Shop, service: str, kind: str) -> None:
    client = Client(shop.health_url_of(service, kind))
    for probe in ("/livez", "/readyz", "/startupz"):
        assert client.get(probe).status_code == 200
    metrics = client.get("/metrics")
    assert metrics.status_code == 200
    assert "# TYPE " in metrics.text
    assert client.get("/anything").status_code == 404


def test_a_frozen_service_gets_503_and_stops_no_other(shop: Shop, admin: Client) -> None:
    product = shop.product()
    with shop.frozen("inventory"):
        response = admin.post("/api/products", {"name": "Cup", "price": "1.00", "stock": 1})
        assert problem(response, 503)["title"] == "Unavailable"
        assert int(response.headers["Retry-After"]) >= 1
        expect(admin.get(f"/api/products/{product['id']}"), 200)
        expect(admin.get("/api/orders"), 200)
    expect(admin.get(f"/api/inventory/{product['id']}"), 200)
