"""Which origins may use the API from a browser, and the headers that protect every response."""

import pytest
from werkzeug.test import Client

from chassis.calls.tokens import ServiceTokens
from chassis.settings import Settings, settings
from chassis.web.access import Access
from chassis.web.app import make_app
from chassis.web.auth import Verifier

SHOP = "https://shop.example"
PREFLIGHT = {"Access-Control-Request-Method": "PUT"}


@pytest.fixture
def client_with(monkeypatch):
    def make(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return Client(make_app("kettles", [], {}, Access(Verifier(dict)), ServiceTokens("kettles", "s" * 32)))

    yield make
    monkeypatch.undo()
    settings.cache_clear()


def cors_headers(response):
    return {name for name, _ in response.headers if name.startswith("Access-Control-")}


@pytest.mark.parametrize("origin", [SHOP, "http://localhost:3000"])
def test_a_preflight_of_an_allowed_origin_gets_204(client_with, origin):
    client = client_with(CORS_ORIGINS=f"{SHOP},http://localhost:3000")
    response = client.options("/api/kettles/1", headers={"Origin": origin, **PREFLIGHT})
    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert "PUT" in response.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in response.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://shop.example.evil", "http://shop.example", f"{SHOP}:444", "null", "*", ""],
)
def test_another_origin_gets_no_cors_header(client_with, origin):
    client = client_with(CORS_ORIGINS=SHOP)
    for response in (
        client.options("/health", headers={"Origin": origin, **PREFLIGHT}),
        client.get("/health", headers={"Origin": origin}),
    ):
        assert cors_headers(response) == set()
        assert response.headers["Vary"] == "Origin", "a cache would give this response to an allowed origin"


@pytest.mark.parametrize("path", ["/health", "/nowhere"])
def test_a_script_of_an_allowed_origin_reads_successes_and_errors(client_with, path):
    response = client_with(CORS_ORIGINS=SHOP).get(path, headers={"Origin": SHOP})
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert "ETag" in response.headers["Access-Control-Expose-Headers"]


def test_without_the_setting_there_is_no_cors(client_with):
    response = client_with().options("/health", headers={"Origin": SHOP, **PREFLIGHT})
    assert (response.status_code, cors_headers(response)) == (405, set())
    assert "Vary" not in response.headers


def test_https_alone_is_announced_by_a_setting(client_with):
    assert "Strict-Transport-Security" not in client_with().get("/health").headers
    response = client_with(HSTS="31536000").get("/nowhere")
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"), ("PORT", "-1"), ("PORT", "1e3"), ("HEALTH_PORT", "65536"), ("HOST", "a b"), ("HOST", "[::]"),
        ("CORS_ORIGINS", "*"), ("CORS_ORIGINS", "https://shop.example/"), ("CORS_ORIGINS", "shop.example"),
        ("CORS_ORIGINS", "https://Shop.example"), ("HSTS", "-1"), ("DEADLINE", "-1"), ("LEASE", "0"), ("LEASE", "nan"),
        ("SHUTDOWN", "inf"), ("THREADS", "0"),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_named_in_one_line(name, value):
    with pytest.raises(SystemExit) as refused:
        Settings.from_environment({name: value})
    assert str(refused.value).startswith(f"mercato: the setting {name}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "127.0.0.1", "localhost", "fe80::1%eth0"])
def test_an_address_of_either_version_is_a_host(host):
    assert Settings.from_environment({"HOST": host}).host == host
