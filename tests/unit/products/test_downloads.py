"""Pictures of an import: downloaded from allowed hosts at public addresses, and from nowhere else."""

import io
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from PIL import Image

from chassis.blobs.folder import FolderBlobs
from chassis.money import Money
from services.products import application, domain, downloads, pictures, public_fetch, repository, vocabulary
from services.products.public_fetch import FetchFailed, FetchRefused, fetch
from services.products.settings import ProductsSettings

PUBLIC = "93.184.215.14"
PRIVATE = """127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 240.0.0.1
    255.255.255.255 198.18.0.1 192.0.2.1 ::1 :: fe80::1 fc00::1 fec0::1 ff02::1 ::ffff:10.0.0.1 64:ff9b::a00:1
    2002:a00:1::1 2001:db8::1 2001:0:0:0:0:0:f5ff:fffe""".split()


def picture(color="teal"):
    out = io.BytesIO()
    Image.new("RGB", (60, 40), color).save(out, "JPEG")
    return out.getvalue()


class _Host(ThreadingHTTPServer):
    """A host of pictures at loopback: path -> (status, headers, body)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.asked, self.release = {}, [], threading.Event()
        self.name = f"pictures.test:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["Host"]))
        if self.path == "/never":
            self.server.release.wait(30)
            return
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def host(monkeypatch):
    """A host that DNS finds at loopback, which counts as public here."""
    with _Host() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        answer_dns(monkeypatch, ["127.0.0.1"])
        monkeypatch.setattr(public_fetch, "is_public", lambda address: str(address) in ("127.0.0.1", PUBLIC))
        yield server
        server.release.set()
        server.shutdown()


def answer_dns(monkeypatch, *answers):
    """Answer each look-up with the next list of addresses, the last one again and again."""
    left = list(answers)

    def look_up(host, port, *_, **__):
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(public_fetch.socket, "getaddrinfo", look_up)


def test_file_of_an_allowed_host_is_fetched(host):
    host.answers["/a.jpg?v=1"] = (200, {}, b"picture")
    assert fetch(f"http://{host.name}/a.jpg?v=1", {host.name}, 100) == b"picture"
    assert host.asked == [("/a.jpg?v=1", host.name)]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_address_is_public(address):
    assert not public_fetch.is_public(ip_address(address))


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_internet_is_public(address):
    assert public_fetch.is_public(ip_address(address))


@pytest.mark.parametrize("addresses", [["10.0.0.1"], [PUBLIC, "10.0.0.1"], ["169.254.169.254"], ["::1"]])
def test_host_with_a_private_address_is_not_connected_to(monkeypatch, addresses):
    answer_dns(monkeypatch, addresses)
    monkeypatch.setattr(public_fetch.socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(FetchRefused, match="not public"):
        fetch("https://pictures.test/a.jpg", {"pictures.test"}, 100)


def test_connection_goes_to_the_address_that_was_checked(monkeypatch):
    answer_dns(monkeypatch, [PUBLIC], ["127.0.0.1"])
    connected = []

    def connect(address, *_, **__):
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(public_fetch.socket, "create_connection", connect)
    with pytest.raises(FetchFailed):
        fetch("http://pictures.test/a.jpg", {"pictures.test"}, 100)
    assert connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "url",
    ["http://other.test/a", "http://pictures.test:22/a", "ftp://pictures.test/a", "file:///etc/passwd", "http:///a",
     "http://pictures.test@other.test/a", "http://ada:secret@pictures.test/a", "http://pictures.test.other.test/a",
     "http://127.0.0.1/a", "http://[::1]/a", "http://[bad", "http://pictures.test:99999/a", "/a", ""],
)  # fmt: skip
def test_other_urls_are_not_resolved(monkeypatch, url):
    monkeypatch.setattr(public_fetch.socket, "getaddrinfo", lambda *_, **__: pytest.fail("resolved"))
    with pytest.raises(FetchRefused):
        fetch(url, {"pictures.test"}, 100)


def test_redirect_is_not_followed(host):
    host.answers["/a"] = (302, {"Location": f"http://{host.name}/b"}, b"")
    with pytest.raises(FetchRefused, match="302"):
        fetch(f"http://{host.name}/a", {host.name}, 100)
    assert [path for path, _ in host.asked] == ["/a"]


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "", "Connection": "close"}], ids=["stated", "not stated"])
def test_large_file_is_refused(host, headers):
    body = b"x" * 200_000
    host.answers["/a"] = (200, {name: value for name, value in headers.items() if value}, body)
    with pytest.raises(FetchRefused, match="more than 100000"):
        fetch(f"http://{host.name}/a", {host.name}, 100_000)


def test_host_that_never_answers_is_given_up(host, monkeypatch):
    monkeypatch.setattr(public_fetch, "MAX_TIME_S", 0.2)
    with pytest.raises(FetchFailed):
        fetch(f"http://{host.name}/never", {host.name}, 100)


@pytest.mark.parametrize(("status", "error"), [(404, FetchRefused), (503, FetchFailed), (429, FetchFailed)])
def test_status_says_whether_to_try_again(host, status, error):
    host.answers["/a"] = (status, {}, b"")
    with pytest.raises(error):
        fetch(f"http://{host.name}/a", {host.name}, 100)


@pytest.fixture
def shop(store, tmp_path, fake_clock, monkeypatch, host):
    """The products of a shop that downloads from `host`."""
    for collection in (repository.products, vocabulary.words, vocabulary.state):
        collection.attach(store).ensure_indexes()
    pictures.blobs.attach(FolderBlobs(tmp_path / "blobs"))
    allow(monkeypatch, host.name)
    application.insert("mug", domain.Details("Mug"), Money(100, "EUR"), 1)
    return host


def allow(monkeypatch, hosts):
    given = ProductsSettings.from_environment({"PICTURE_HOSTS": hosts})
    monkeypatch.setattr(downloads, "settings", lambda: given)


def import_pictures(shop, *paths):
    return downloads.add_sources("mug", [(f"http://{shop.name}{path}", f"alt of {path}") for path in paths])


def mug():
    return repository.get("mug")


def test_imported_pictures_are_downloaded_in_order(shop, fake_clock):
    shop.answers |= {"/a": (200, {}, picture("teal")), "/b": (200, {}, picture("navy"))}
    assert import_pictures(shop, "/a", "/b")
    for _ in range(3):
        downloads.download_pictures()
        fake_clock.pass_time(1)
    assert [each["alt"] for each in mug()["pictures"]] == ["alt of /a", "alt of /b"]
    assert (mug()["pictureSources"], mug()["picturesDue"], mug()["version"]) == ([], "", 3)
    for each in mug()["pictures"]:
        assert pictures.rendition(f"{each['id']}-320")


def test_repeated_import_downloads_nothing_again(shop, fake_clock):
    shop.answers["/a"] = (200, {}, picture())
    import_pictures(shop, "/a")
    assert not import_pictures(shop, "/a")
    downloads.download_pictures()
    assert not import_pictures(shop, "/a")
    downloads.download_pictures()
    assert len(shop.asked) == 1


def test_no_host_is_allowed_by_default(shop, monkeypatch):
    allow(monkeypatch, "")
    import_pictures(shop, "/a")
    downloads.download_pictures()
    assert shop.asked == [] and len(mug()["pictureSources"]) == 1


def test_what_is_no_picture_is_noted_and_not_tried_again(shop, fake_clock):
    shop.answers |= {"/a": (200, {}, b"<svg/>"), "/b": (200, {}, picture())}
    import_pictures(shop, "/a", "/b")
    for _ in range(4):
        downloads.download_pictures()
        fake_clock.pass_time(1)
    (refused,) = mug()["pictureSources"]
    assert refused["problem"] == "Send a JPEG, PNG or WebP picture."
    assert [path for path, _ in shop.asked] == ["/a", "/b"] and len(mug()["pictures"]) == 1


def test_failed_download_is_retried_later_and_not_forever(shop, fake_clock):
    shop.answers["/a"] = (503, {}, b"")
    import_pictures(shop, "/a")
    downloads.download_pictures()
    downloads.download_pictures()
    assert len(shop.asked) == 1, "not at once"
    for _ in range(10):
        fake_clock.pass_time(3600)
        downloads.download_pictures()
    assert len(shop.asked) == downloads.MAX_ATTEMPTS
    assert "503" in mug()["pictureSources"][0]["problem"]
    shop.answers["/a"] = (200, {}, picture())
    assert import_pictures(shop, "/a"), "an import tries again"
    downloads.download_pictures()
    assert len(mug()["pictures"]) == 1


def test_picture_whose_processing_ends_the_process_is_given_up(shop, fake_clock, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads.imaging, "render", die)
    shop.answers["/a"] = (200, {}, picture())
    import_pictures(shop, "/a")
    for _ in range(downloads.MAX_ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            downloads.download_pictures()
        fake_clock.pass_time(61)
    downloads.download_pictures()
    assert mug()["pictureSources"][0]["problem"] == "its processing never ended"


def test_two_workers_download_a_picture_once(shop, monkeypatch):
    shop.answers["/a"] = (200, {}, picture())
    import_pictures(shop, "/a")
    found = repository.products.find({"deleted": False}, limit=5)
    monkeypatch.setattr(type(repository.products), "find", lambda *_, **__: found)  # both have read the same
    downloads.download_pictures()
    downloads.download_pictures()
    assert len(shop.asked) == 1


def test_deleted_product_gets_no_picture(shop):
    import_pictures(shop, "/a")
    application.delete("mug", None)
    downloads.download_pictures()
    assert shop.asked == []
