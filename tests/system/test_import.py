"""`mercato import products`, run against a platform that is up, and the route behind it."""

import json
import os
import signal
from pathlib import Path

import pytest

from chassis import clock
from tests.sizes import by_form
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem, refused_fields
from tests.system.running import ROOT, Platform

pytestmark = pytest.mark.any_engine
ROWS = by_form(300, 4000)
"""Rows of an import that is killed."""

HEADER = "Handle,Title,Body (HTML),Vendor,Type,Option1 Name,Option1 Value,Variant Price,Variant Inventory Qty,Image Src"
HEADER += ",Status"


@pytest.fixture
def handle() -> str:
    """A handle that no other test has."""
    return f"sock-{clock.new_id().lower()}"


def write(folder: Path, *rows: str, header: str = HEADER) -> str:
    file = folder / "products.csv"
    file.write_text("\r\n".join([header, *rows, ""]), encoding="utf-8-sig")
    return str(file)


def counts(created: int = 0, updated: int = 0, unchanged: int = 0, refused: int = 0, skipped: int = 0) -> str:
    rows = created + updated + unchanged + refused + skipped
    return (
        f"{rows} rows: {created} created, {updated} updated, {unchanged} unchanged, {refused} refused,"
        f" {skipped} skipped\n"
    )


def test_imported_products_can_be_ordered_and_reimported(
    shop: Shop, buyer: Client, tmp_path: Path, handle: str
) -> None:
    file = write(
        tmp_path,
        f'{handle},Sock,"<p>Warm &amp; dry</p>\r\n<p>Gray</p>",F&F,Clothing,Size,Small,12.50,4,https://x.example/1.jpg,',
        f"{handle},,,,,,Large,13.50,9,,",
        f"{handle},,,,,,,,,https://x.example/2.jpg,",
    )
    first = shop.mercato("import", "products", file)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == counts(created=2, skipped=1) + (
        "skipped: only a picture: 1\npictures: 2, downloaded by the shop if PICTURE_HOSTS has their hosts\n"
    )
    small = expect(buyer.get(f"/api/products/{handle}"), 200)
    assert (small["name"], small["price"], small["stock"]) == ("Sock - Small", "12.50", 4)
    assert (small["description"], small["category"]) == ("Warm & dry\nGray", "Clothing")
    large = expect(buyer.get(f"/api/products/{handle}_large"), 200)
    assert (large["name"], large["price"]) == ("Sock - Large", "13.50")
    assert buyer.buy(large, 2)["totalAmount"] == "27.00"

    again = shop.mercato("import", "products", file)
    assert again.returncode == 0 and again.stdout.startswith(counts(unchanged=2, skipped=1))
    assert (shop.stock(small), shop.stock(large)) == ((4, 0, 0), (7, 0, 2))


def test_what_is_not_for_sale_there_is_not_for_sale_here(
    shop: Shop, buyer: Client, tmp_path: Path, handle: str
) -> None:
    shop.mercato("import", "products", write(tmp_path, f"{handle},Sock,,,,,,12.50,4,,active"))
    draft = shop.mercato("import", "products", write(tmp_path, f"{handle},Sock,,,,,,12.50,4,,draft"))
    assert draft.stdout == counts(updated=1) + f"stored unpublished: Status: draft: 1: {handle} (line 2)\n"
    problem(buyer.get(f"/api/products/{handle}"), 404)
    assert buyer.order({"id": handle}).status_code in (404, 422)
    shop.mercato("import", "products", write(tmp_path, f"{handle},Sock,,,,,,12.50,4,,active"))
    assert expect(buyer.get(f"/api/products/{handle}"), 200)["stock"] == 4


def test_a_later_import_can_set_the_stock(shop: Shop, buyer: Client, tmp_path: Path, handle: str) -> None:
    file = write(tmp_path, f"{handle},Sock,12.50", header="Handle,Title,Variant Price")
    first = shop.mercato("import", "products", file)
    assert "no column Variant Inventory Qty" in first.stdout
    sock = expect(buyer.get(f"/api/products/{handle}"), 200)
    assert sock["stock"] == 0
    file = write(tmp_path, f"{handle},Sock,12.50,6", header="Handle,Title,Variant Price,Variant Inventory Qty")
    assert shop.mercato("import", "products", file).stdout == counts(unchanged=1)
    assert shop.stock(sock) == (0, 0, 0)
    assert shop.mercato("import", "products", file, "--stock=set").stdout == counts(updated=1)
    assert expect(buyer.get(f"/api/products/{handle}"), 200)["stock"] == 6
    buyer.buy(sock, 2)
    assert shop.stock(sock) == (4, 0, 2)


def test_refused_rows_are_reported_and_the_others_imported(
    shop: Shop, guest: Client, tmp_path: Path, handle: str
) -> None:
    rows = ("bad,Bad,,,,,,1.999,1,,", f"{handle},Sock,,,,,,12.50,,,", ",No handle,,,,,,1.00,1,,")
    file = write(tmp_path, *rows, f"long,{'t' * 256},,,,,,1.00,1,,", f"large,Large,{'x' * 70_000},,,,,1.00,1,,")
    result = shop.mercato("import", "products", file)
    assert (result.returncode, result.stdout) == (1, counts(created=1, refused=4))
    assert result.stderr.splitlines() == [
        "line 2: bad: Variant Price: EUR has 2 decimal places",
        "line 4: (no handle): Handle: empty",
        "line 5: long: Title: String should have at most 255 characters",
        "line 6: large: is larger than 64 KiB",
    ]
    assert expect(guest.get(f"/api/products/{handle}"), 200)["stock"] == 0
    problem(guest.get("/api/products/bad"), 404)

    report = json.loads(shop.mercato("import", "products", file, "--json").stdout)
    assert (report["created"], report["updated"], report["unchanged"], report["stopped"]) == (0, 0, 1, "")
    assert [(row["line"], row["handle"]) for row in report["refused"]] == [
        (2, "bad"),
        (4, ""),
        (5, "long"),
        (6, "large"),
    ]


def test_an_import_that_is_killed_is_completed_by_a_repeat(
    shop: Shop, guest: Client, tmp_path: Path, handle: str
) -> None:
    file = write(tmp_path, *(f"{handle}-{number},Sock {number},,,,,,1.00,{number},," for number in range(ROWS)))
    process = shop.begin("import", "products", file)
    eventually(lambda: guest.get(f"/api/products/{handle}-0").status_code == 200)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    report = json.loads(shop.mercato("import", "products", file, "--json").stdout)
    assert report["created"] + report["unchanged"] == report["rows"] == ROWS and report["unchanged"] >= 1
    for number in (0, 49, 50, ROWS - 1):
        assert shop.stock({"id": f"{handle}-{number}"}) == (number, 0, 0)


def test_url_names_any_shop_and_needs_an_administrator(shop: Shop, buyer: Client, tmp_path: Path, handle: str) -> None:
    file = write(tmp_path, f"{handle},Sock,,,,,,12.50,4,,")

    def run(email: str, password: str | None, token: str | None = None) -> tuple[int, str, str]:
        account = {"ADMIN_EMAIL": email, "ADMIN_PASSWORD": password, "ADMIN_TOKEN": token}
        elsewhere = Platform(tmp_path, DATA_DIR=str(tmp_path / "nothing"), **account)
        result = elsewhere.mercato("import", "products", file, "--url", f"{shop.url}/")
        return result.returncode, result.stdout, result.stderr

    assert run(buyer.email, PASSWORD) == (
        1,
        counts(),
        f"mercato: stopped at line 2: {shop.url}: This needs an administrator.; import the file again to continue\n",
    )
    code, _, error = run(shop.account[0], "a wrong password")
    assert code == 1 and "does not accept the password" in error and len(error.splitlines()) == 1
    code, _, error = run(shop.account[0], None)
    assert code == 1 and "set ADMIN_PASSWORD" in error and len(error.splitlines()) == 1
    problem(buyer.get(f"/api/products/{handle}"), 404)
    assert run(*shop.account) == (0, counts(created=1), "")
    assert run(*shop.account, token="expired")[2].endswith(
        f"the session at {shop.url} has ended; import the file again to continue\n"
    )
    assert run("", None, token=shop.admin().token) == (0, counts(unchanged=1), "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"Name,Price\nMug,9.90\n", "there is no column Handle, Title"),
        (b"", "there is no column Handle"),
        (b"Handle,Title,Variant Price,Variant Price\n", "there are two columns Variant Price"),
        ("Handle,Title,Variant Price\nmug,Größe,9\n".encode("latin-1"), "line 2 is not UTF-8 (byte 33)"),
    ],
)
def test_a_file_that_is_no_export_fails_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "products.csv"
    file.write_bytes(content)
    result = Platform(tmp_path).mercato("import", "products", str(file))
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert why in result.stderr


def test_an_import_without_a_platform_fails_in_one_line(tmp_path: Path, handle: str) -> None:
    result = Platform(tmp_path).mercato("import", "products", write(tmp_path, f"{handle},Sock,,,,,,12.50,1,,"))
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "nothing runs in" in result.stderr and "mercato up" in result.stderr and "--url" in result.stderr


def test_the_route_answers_row_by_row(admin: Client, guest: Client, handle: str) -> None:
    sock = {"id": handle, "name": "Sock", "price": "12.50", "stock": 3, "description": "Wool"}
    items = [sock, {**sock, "id": f"{handle}-2", "price": 1.999}, {"id": f"{handle}-3", "color": "red"}, sock]
    answer = expect(admin.post("/api/products/imports", {"items": items}), 200)
    assert [(row["id"], row["outcome"], row["field"]) for row in answer["items"]] == [
        (handle, "created", ""),
        (f"{handle}-2", "refused", "price"),
        (f"{handle}-3", "refused", "name"),
        (handle, "refused", "id"),
    ]
    assert answer["items"][1]["reason"] == "EUR has 2 decimal places"
    assert expect(guest.get(f"/api/products/{handle}"), 200)["stock"] == 3
    problem(guest.get(f"/api/products/{handle}-2"), 404)
    (row,) = expect(admin.post("/api/products/imports", {"items": [{**sock, "description": ""}]}), 200)["items"]
    assert row["outcome"] == "updated"
    expect(admin.delete(f"/api/products/{handle}"), 204)
    (row,) = expect(admin.post("/api/products/imports", {"items": [sock], "stock": "set"}), 200)["items"]
    assert row["outcome"] == "refused" and "was deleted" in row["reason"]


def test_a_batch_that_cannot_be_answered_row_by_row_is_rejected(admin: Client, handle: str) -> None:
    for items in ([], [{"id": f"{handle}-{number}"} for number in range(51)], [{"name": "Sock"}], [{"id": "a b"}]):
        refused_fields(admin.post("/api/products/imports", {"items": items}))
    large = {"id": handle, "name": "Sock", "price": "1", "description": "x" * 65_000}
    problem(admin.post("/api/products/imports", {"items": [large, large]}), 413)


def test_picture_beside_the_catalog_is_uploaded_once(shop: Shop, buyer: Client, tmp_path: Path, handle: str) -> None:
    (tmp_path / "sock.webp").write_bytes((ROOT / "data" / "pictures" / "camp-mug-1.webp").read_bytes())
    (tmp_path / "page.jpg").write_text("<html>")
    first = f"{handle},Sock,,F&F,Clothing,Size,Small,12.50,4,sock.webp,"
    file = write(tmp_path, first, *(f"{handle},,,,,,,,,{name}," for name in ("page.jpg", "none.png")))
    for _ in range(2):
        done = shop.mercato("import", "products", file)
        assert "pictures uploaded: 1\n" in done.stdout
        assert "page.jpg" in done.stdout and "none.png" in done.stdout
        product = expect(buyer.get(f"/api/products/{handle}"), 200)
        assert len(product["pictures"]) == 1
        assert buyer.get(product["pictures"][0]["url"]).headers["Content-Type"] == "image/webp"
