"""A catalog sent in batches: the report accounts for every row."""

import orjson
import pytest
from click.testing import CliRunner

from chassis.web.bodies import MAX_BODY_BYTES
from services.products.cli import import_products
from services.products.importing import import_catalog
from services.products.imports import MAX_ROWS
from services.products.shopify import parse


class OutageError(Exception):
    """What `post` raises if the shop does not answer."""


class Shop:
    """Answers as the route does: a price of 0 is refused, and after `answers` batches nothing is answered."""

    def __init__(self, answers=1000):
        self.batches, self.done, self.answers, self.error = [], 0, answers, OutageError("the shop is away")

    def post(self, path, body):
        assert path == "/api/products/imports" and len(orjson.dumps(body)) <= MAX_BODY_BYTES
        assert 1 <= len(body["items"]) <= MAX_ROWS and body["stock"] == "keep"
        if len(self.batches) == self.answers:
            raise self.error
        self.batches.append(body["items"])
        return {"items": [self.result(item) for item in body["items"]]}

    def result(self, item):
        if item["price"] == "0":
            return {"id": item["id"], "outcome": "refused", "field": "price", "reason": "must not be 0"}
        return {"id": item["id"], "outcome": "created", "field": "", "reason": ""}

    def run(self, *lines):
        catalog = parse("Handle,Title,Body (HTML),Variant Price,Image Src,Status\n" + "\n".join(lines))
        return import_catalog(catalog, self.post, {"stock": "keep", "importId": "i"}, OutageError, self.advance)

    def advance(self, rows):
        self.done += rows


def test_every_row_is_accounted_for():
    shop = Shop()
    lines = ["a,A,,1,,active", "b,B,,0,,", "a,,,,p,", "c,C,,,,", "d,D,,2,,draft", "a,,x,,,"]
    report = shop.run(*lines)
    assert (report.rows, shop.done, report.outcomes["created"]) == (6, 6, 2)
    assert [(row.line, row.reason) for row in report.refused] == [
        (3, "Variant Price: must not be 0"),
        (5, "Variant Price: empty"),
    ]
    assert [row.line for row in report.skipped] == [4, 7] and not report.is_complete
    data = report.data()
    assert (data["created"], data["pictures"], data["stopped"]) == (2, 1, "")
    assert data["unpublished"] == [{"line": 6, "handle": "d", "reason": "Status: draft"}]


def test_batches_are_as_large_as_the_route_takes():
    shop = Shop()
    long = "ä€" * 4000  # 20 KB
    report = shop.run(*(f"m{n},M,,1,," for n in range(MAX_ROWS + 1)), *(f"x{n},X,{long},1,," for n in range(4)))
    assert report.outcomes["created"] == MAX_ROWS + 5
    assert [len(batch) for batch in shop.batches] == [MAX_ROWS, 4, 1]


def test_a_row_above_64_kib_is_refused_with_its_line_and_the_others_are_sent():
    shop = Shop()
    report = shop.run("a,A,,1,,", f"b,B,{'x' * MAX_BODY_BYTES},1,,", "c,C,,1,,")
    assert [(row.line, row.reason) for row in report.refused] == [(3, "is larger than 64 KiB")]
    assert [item["id"] for batch in shop.batches for item in batch] == ["a", "c"]


@pytest.mark.parametrize(("error", "why"), [(OutageError("away"), "away"), (KeyboardInterrupt(), "interrupted")])
def test_an_import_stops_at_an_outage_and_says_where(error, why):
    shop = Shop(answers=1)
    shop.error = error
    report = shop.run(*(f"m{n},M,,1,," for n in range(MAX_ROWS * 2)))
    assert (report.stopped, report.outcomes["created"], report.is_complete) == (f"line 52: {why}", MAX_ROWS, False)
    assert len(shop.batches) == 1 and report.rows == MAX_ROWS


@pytest.mark.parametrize("encoding", ["hex", "nonsense", "\0"])
def test_an_encoding_that_gives_no_text_is_refused(tmp_path, encoding):
    file = tmp_path / "products.csv"
    file.touch()
    result = CliRunner().invoke(import_products, [str(file), "--encoding", encoding])
    assert (result.exit_code, "there is no encoding" in result.stderr) == (2, True), result.output
