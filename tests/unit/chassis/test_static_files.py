"""Static files: names that change with the content, compression, caches."""

import gzip

import pytest

from tests.unit.chassis.page_shop import CSS


def test_static_file_is_immutable_under_the_digest_of_its_content(client, pages):
    url = pages.static.url("shop.css")
    found = client.get(url)
    assert (found.text, found.content_type) == (CSS, "text/css; charset=utf-8")
    assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert url in client.get("/shop/search").text and url != "/static/shop.css"
    assert client.get(url, headers={"If-None-Match": found.headers["ETag"]}).status_code == 304
    assert client.head(url).headers["Content-Length"] == str(len(CSS)) and client.head(url).data == b""
    assert client.post(url).status_code == 405


def test_static_file_is_sent_compressed_to_those_who_ask(client, pages):
    url = pages.static.url("shop.css")
    plain, small = client.get(url), client.get(url, headers={"Accept-Encoding": "br, gzip"})
    assert gzip.decompress(small.data).decode() == CSS and len(small.data) < len(CSS) / 2
    assert small.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
    assert small.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert small.headers["Content-Length"] == str(len(small.data))


@pytest.mark.parametrize("path", ["/static/shop.css", "/static/shop.0123456789ab.css"])
def test_static_file_of_another_release_is_the_one_of_this_and_not_kept(client, path):
    found = client.get(path)
    assert (found.text, found.headers["Cache-Control"]) == (CSS, "no-cache")


def test_static_file_at_a_path_of_its_own(client):
    found = client.get("/icon.svg")
    assert (found.text, found.content_type) == ("<svg/>", "image/svg+xml")
    assert found.headers["Cache-Control"] == "public, max-age=3600"


def test_missing_static_file_fails_at_its_name(pages):
    with pytest.raises(Exception, match=r"shop2\.css.*shop\.css"):
        pages.static.url("shop2.css")
    with pytest.raises(Exception, match="robots"):
        pages.file("/robots.txt", "robots.txt")
