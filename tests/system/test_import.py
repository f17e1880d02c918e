"""`mercato import products`, run against a platform that is up."""

import json
from pathlib import Path

import pytest

from chassis import clock
from tests.system.platform import Client, Shop, expect
from tests.system.running import Platform

HEADER = "Handle,Title,Body (HTML),Vendor,Type,Option1 Name,Option1 Value,Variant Price,Variant Inventory Qty,Image Src"


@pytest.fixture
def handle() -> str:
    """A handle that no other test has."""
    return f"sock-{clock.new_id().lower()}"


def write(folder: Path, *rows: str) -> str:
    file = folder / "products.csv"
    file.write_text("\r\n".join([HEADER, *rows, ""]), encoding="utf-8-sig")
    return str(file)


def test_imported_products_can_be_ordered_and_reimported(
    shop: Shop, buyer: Client, tmp_path: Path, handle: str
) -> None:
    file = write(
        tmp_path,
        f'{handle},Sock,"<p>Warm &amp; dry</p>\r\n<p>Gray</p>",F&F,Clothing,Size,Small,12.50,4,https://x.example/1.jpg',
        f"{handle},,,,,,Large,13.50,9,",
        f"{handle},,,,,,,,,https://x.example/2.jpg",
    )
    first = shop.mercato("import", "products", file)
    assert (first.returncode, first.stdout) == (0, "2 created, 0 changed, 0 unchanged, 0 refused\n"), first.stderr

    small = expect(buyer.get(f"/api/products/{handle}"), 200)
    assert (small["name"], small["price"], small["stock"]) == ("Sock - Small", "12.50", 4)
    assert (small["description"], small["category"]) == ("Warm & dry\nGray", "Clothing")
    large = expect(buyer.get(f"/api/products/{handle}_large"), 200)
    assert (large["name"], large["price"]) == ("Sock - Large", "13.50")
    assert buyer.buy(large, 2)["totalAmount"] == "27.00"

    again = shop.mercato("import", "products", file)
    assert (again.returncode, again.stdout) == (0, "0 created, 0 changed, 2 unchanged, 0 refused\n")
    assert (shop.stock(small), shop.stock(large)) == ((4, 0, 0), (7, 0, 2))


def test_a_second_import_changes_fields_but_no_stock(shop: Shop, guest: Client, tmp_path: Path, handle: str) -> None:
    assert shop.mercato("import", "products", write(tmp_path, f"{handle},Sock,,,,,,12.50,4,")).returncode == 0
    changed = shop.mercato("import", "products", write(tmp_path, f"{handle},Wool sock,,,Clothing,,,11.00,400,"))
    assert changed.stdout == "0 created, 1 changed, 0 unchanged, 0 refused\n"
    sock = expect(guest.get(f"/api/products/{handle}"), 200)
    assert (sock["name"], sock["price"], sock["category"], sock["stock"]) == ("Wool sock", "11.00", "Clothing", 4)


def test_refused_rows_are_reported_and_the_others_imported(
    shop: Shop, guest: Client, tmp_path: Path, handle: str
) -> None:
    file = write(tmp_path, "bad,Bad,,,,,,1.999,1,", f"{handle},Sock,,,,,,12.50,,", ",No handle,,,,,,1.00,1,")
    result = shop.mercato("import", "products", file)
    assert result.returncode == 1
    assert result.stdout == "1 created, 0 changed, 0 unchanged, 2 refused\n"
    assert result.stderr.splitlines() == [
        "line 2: bad: Variant Price: EUR has 2 decimal places",
        "line 4: (no handle): Handle: empty",
    ]
    assert expect(guest.get(f"/api/products/{handle}"), 200)["stock"] == 0
    expect(guest.get("/api/products/bad"), 404)

    report = json.loads(shop.mercato("import", "products", file, "--json").stdout)
    assert (report["created"], report["changed"], report["unchanged"], report["stopped"]) == (0, 0, 1, "")
    assert [(row["line"], row["handle"]) for row in report["refused"]] == [(2, "bad"), (4, "")]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"Name,Price\nMug,9.90\n", "there is no column Handle, Title, Variant Price"),
        (b"", "there is no column Handle"),
        ("Handle,Title,Variant Price\nmug,Größe,9\n".encode("latin-1"), "is not UTF-8 (byte 33)"),
    ],
)
def test_a_file_that_is_no_export_fails_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "products.csv"
    file.write_bytes(content)
    result = Platform(tmp_path).mercato("import", "products", str(file))
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert why in result.stderr


def test_an_import_without_a_platform_fails_in_one_line(tmp_path: Path, handle: str) -> None:
    result = Platform(tmp_path).mercato("import", "products", write(tmp_path, f"{handle},Sock,,,,,,12.50,1,"))
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "nothing runs in" in result.stderr and "mercato up" in result.stderr
