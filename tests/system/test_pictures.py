"""Pictures of products: uploaded by administrators, served to everybody."""

import io
import socket

import pytest
import requests
from PIL import Image

from chassis.web.bodies import MAX_IMAGE_BYTES
from tests.system.platform import Client, Shop, eventually, expect, problem

JPEG = {"Content-Type": "image/jpeg"}


def picture(format: str = "JPEG", size: tuple[int, int] = (1600, 800), color: str = "teal", quality: int = 80) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, format, quality=quality)
    return out.getvalue()


def upload(
    client: Client, product: dict[str, str], data: bytes, alt: str = "", type: str = "image/jpeg"
) -> requests.Response:
    path = f"/api/products/{product['id']}/pictures"
    return client.request("POST", path, data=data, params={"alt": alt} if alt else {}, headers={"Content-Type": type})


@pytest.mark.parametrize(("format", "type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")])
def test_uploaded_picture_is_served_in_three_sizes(
    shop: Shop, admin: Client, guest: Client, format: str, type: str
) -> None:
    product = shop.product()
    changed = expect(upload(admin, product, picture(format), "A kettle", type), 201)
    (shown,) = changed["pictures"]
    assert (shown["alt"], shown["width"], shown["height"]) == ("A kettle", 1280, 640)
    assert expect(guest.get(f"/api/products/{product['id']}"), 200) == changed
    for size in (1280, 640, 320):
        served = guest.get(shown["url"].replace("1280", str(size)))
        assert (served.status_code, served.headers["Content-Type"]) == (200, "image/webp")
        assert served.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert served.headers["X-Content-Type-Options"] == "nosniff"
        image = Image.open(io.BytesIO(served.content))
        assert (image.format, image.size) == ("WEBP", (size, size // 2))


def test_same_picture_is_stored_once_and_changes_its_text(shop: Shop, admin: Client) -> None:
    one, other = shop.product(), shop.product()
    upload(admin, one, picture(color="olive"), "first")
    (shown,) = expect(upload(admin, one, picture(color="olive"), "second"), 201)["pictures"]
    assert shown["alt"] == "second"
    assert expect(upload(admin, other, picture(color="olive")), 201)["pictures"][0]["url"] == shown["url"]


def test_removed_picture_is_not_shown(shop: Shop, admin: Client, guest: Client) -> None:
    product = shop.product()
    (shown,) = expect(upload(admin, product, picture(color="navy")), 201)["pictures"]
    path = f"/api/products/{product['id']}/pictures/{shown['url'][7:39]}"
    expect(admin.delete(path), 204)
    assert expect(guest.get(f"/api/products/{product['id']}"), 200)["pictures"] == []
    assert admin.delete(path).status_code == 404


def test_only_administrators_change_pictures(shop: Shop, buyer: Client, guest: Client) -> None:
    product = shop.product()
    assert upload(guest, product, picture()).status_code == 401
    assert upload(buyer, product, picture()).status_code == 403
    assert buyer.delete(f"/api/products/{product['id']}/pictures/x").status_code == 403


@pytest.mark.parametrize(
    ("data", "type", "status"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png", 422),
        (b"{}", "application/json", 415),
        (picture(), "text/html", 415),
        (picture("GIF"), "image/gif", 415),
        (picture("GIF"), "image/jpeg", 422),
        (b"", "image/jpeg", 422),
        (picture() + b"<script>alert(1)</script>", "image/jpeg", 422),
    ],
)
def test_what_is_no_picture_is_refused(shop: Shop, admin: Client, data: bytes, type: str, status: int) -> None:
    product = shop.product()
    problem(upload(admin, product, data, type=type), status)
    assert expect(admin.get(f"/api/products/{product['id']}"), 200)["pictures"] == []


def test_body_may_have_8_mib_and_no_more(shop: Shop, admin: Client) -> None:
    product = shop.product()
    assert upload(admin, product, b"\xff" * MAX_IMAGE_BYTES).status_code == 422
    assert upload(admin, product, b"\xff" * (MAX_IMAGE_BYTES + 1)).status_code == 413


def test_100_mb_are_refused_by_their_length_alone(shop: Shop, admin: Client) -> None:
    product = shop.product()
    head = f"POST /api/products/{product['id']}/pictures HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
    head += f"Authorization: Bearer {admin.token}\r\nContent-Length: 100000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shop.process("products", "web")["port"]), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_unknown_product_gets_no_picture(admin: Client) -> None:
    problem(upload(admin, {"id": "none"}, picture()), 404)


@pytest.mark.parametrize(
    "path",
    ["/media/none-640.webp", "/media/..%2f..%2fsecret.webp", "/media/secret", "/media/", f"/media/{'a' * 32}-641.webp"],
)
def test_other_paths_under_media_are_not_found(guest: Client, path: str) -> None:
    assert guest.get(path).status_code == 404


def test_few_large_requests_are_buffered_at_once(shop: Shop, admin: Client) -> None:
    """A client without an account could otherwise fill the memory with bodies that it never completes."""
    address = ("127.0.0.1", shop.process("products", "web")["port"])
    head = b"POST /api/products/p/pictures HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"

    def begin() -> socket.socket:
        connection = socket.create_connection(address, timeout=30)
        connection.sendall(head + b"Content-Length: 2000000\r\n\r\n")
        return connection

    waiting = [begin() for _ in range(6)]
    try:
        answers = [connection.recv(12) for connection in waiting[-2:]]
        assert answers == [b"HTTP/1.1 503"] * 2
        assert upload(admin, shop.product(), picture()).status_code == 201  # a small one is none of them
    finally:
        for connection in waiting:
            connection.close()
    large = b"\xff" * 2_000_000
    eventually(lambda: upload(admin, {"id": "none"}, large).status_code == 404)
