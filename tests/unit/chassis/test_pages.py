"""Pages of a toy shop: what a browser gets."""

import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateSyntaxError, UndefinedError

from chassis.settings import Settings
from chassis.testing import capture_logs
from chassis.web import limits, page_security
from chassis.web.pages import OPTIONAL, cookies, local_path
from tests.unit.chassis.page_shop import SESSION, User, app_of


def test_page_escapes_values_and_may_load_only_files_of_the_shop(client):
    found = client.get("/shop/search", query_string={"q": '"><script>alert(1)</script>'})
    assert (found.status_code, found.content_type) == (200, "text/html; charset=utf-8")
    assert "<script" not in found.text and "&lt;script&gt;" in found.text and 'title="&#34;&gt;' in found.text
    policy = found.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "img-src 'self' https://pictures.example;" in policy and "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'; trusted-types htmx" in policy
    assert "unsafe" not in policy and "frame-src" not in policy
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert found.headers["Referrer-Policy"] == "same-origin"
    assert {found.headers[f"Cross-Origin-{name}-Policy"] for name in ("Opener", "Resource")} == {"same-origin"}


def test_directive_without_sources_is_dropped():
    headers = page_security.headers({"trusted-types": "", "require-trusted-types-for": ""})
    assert "trusted" not in headers["Content-Security-Policy"]


def test_policy_of_one_page_allows_more_for_that_page_alone(client):
    assert "frame-src https://pay.example" in client.get("/shop/greeting").headers["Content-Security-Policy"]
    assert "frame-src" not in client.get("/shop/time").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "sources", ["'unsafe-inline'", "'self'; script-src *", "*", "https://a.example\nX: y", "http:"]
)
def test_policy_refuses_sources_that_undo_it(sources):
    with pytest.raises(ValueError, match="script-src"):
        page_security.headers({"script-src": sources})


def test_query_of_a_page_leaves_out_what_it_does_not_know(client):
    assert "lamp 2" in client.get("/shop/search?q=lamp&page=2&utm_source=mail").text
    assert "nothing 1" in client.get("/shop/search?q=&page=").text
    assert client.get("/shop/search?page=second").status_code == 422


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\/evil",
        "/a\r\nSet-Cookie: x",
        "javascript:x",
        "a",
    ],
)
def test_redirect_leads_to_no_other_site(client, target):
    found = client.post("/shop/go", query_string={"q": target})
    assert (found.status_code, "Location" in found.headers) == (400, False)
    assert local_path(target, "/shop") == "/shop"


@given(st.text(st.sampled_from("/\\:?#@.\t\r\n%aé€\ud800")) | st.text())
def test_local_path_stays_on_this_site_and_fits_into_a_header(path):
    found = local_path(path, "/shop")
    assert urlsplit(urljoin("https://shop.example/a/b", found)).netloc == "shop.example"
    assert not re.search(r"[\x00-\x20\x7f\\]", found) and not found.startswith("//")


def test_redirect_leads_to_paths_of_this_site(client):
    assert client.post("/shop/go", query_string={"q": "/ä€"}).headers["Location"] == "/%C3%A4%E2%82%AC"
    assert client.post("/shop/go", query_string={"q": "/a?b=%2F/c"}).headers["Location"] == "/a?b=%2F/c"
    assert local_path("/", "/shop") == "/"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/shop/products/sold-out", 409, "Sold out"),
        ("/shop/products/away", 503, "Unavailable"),
        ("/shop/products/defect", 500, "Internal error"),
        ("/shop/products/undefined", 500, "Internal error"),
        ("/shop/products/a%20b", 404, "Not found"),
        ("/shop/nowhere", 404, "Not found"),
        ("/", 404, "Not found"),
        ("/static/nothing.css", 404, "Not found"),
        ("/static/../pages.py", 404, "Not found"),
    ],
)
def test_error_is_a_page_with_its_status_and_trace_id(client, path, status, text):
    found = client.get(path)
    assert (found.status_code, found.content_type) == (status, "text/html; charset=utf-8")
    assert text in found.text and found.headers["X-Trace-Id"] in found.text and "secret" not in found.text
    assert found.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in found.headers["Content-Security-Policy"]


def test_error_keeps_the_headers_of_the_problem(client):
    assert client.get("/shop/products/away").headers["Retry-After"] == "7"
    refused = client.post("/shop/search")
    assert refused.status_code == 405 and set(refused.headers["Allow"].split(", ")) == {"GET", "HEAD"}


def test_too_many_requests_are_refused_with_a_page(client, monkeypatch):
    monkeypatch.setattr(limits, "settings", lambda: Settings.from_environment({"RATE_READ": "2/minute"}))
    assert [client.get("/shop/search").status_code for _ in range(3)] == [200, 200, 429]
    found = client.get("/shop/search")
    assert found.content_type == "text/html; charset=utf-8" and int(found.headers["Retry-After"]) > 0
    assert client.get("/static/shop.css").status_code == 200


def test_routes_of_the_api_keep_problem_documents(client):
    for path in ("/api/shop/nothing", "/internal/nothing"):
        assert client.get(path).content_type == "application/problem+json"
    assert client.get("/health").json == {"status": "healthy", "service": "shop"}


def test_undefined_value_fails_at_the_template(client):
    with capture_logs() as lines:
        assert client.get("/shop/products/undefined").status_code == 500
    assert any("UndefinedError" in str(line) for line in lines)


def test_broken_template_of_problems_falls_back_on_a_plain_page(client, pages):
    pages.problem = "undefined.html"
    with pytest.raises(UndefinedError):
        pages.templates.render("undefined.html", {})
    found = client.get("/shop/nowhere")
    assert (found.status_code, found.content_type) == (404, "text/html; charset=utf-8")
    assert "Not found" in found.text and found.headers["X-Trace-Id"] in found.text


def test_page_for_users_sends_others_to_the_sign_in_page_and_back(client):
    found = client.get("/shop/account?tab=a%26b")
    assert (found.status_code, found.headers["Location"]) == (
        303,
        "/shop/sign-in?next=%2Fshop%2Faccount%3Ftab%3Da%2526b",
    )
    posted = client.post("/shop/account", headers={"Referer": "http://localhost/shop/account"})
    assert posted.headers["Location"] == "/shop/sign-in?next=%2Fshop%2Faccount"
    elsewhere = client.post("/shop/account", headers={"Referer": "https://evil.example/shop"})
    assert elsewhere.headers["Location"] == "/shop/sign-in"
    part = client.get("/shop/account", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/shop/sign-in?next=%2Fshop%2Faccount")


def test_page_for_users_knows_its_user(client, handled):
    client.set_cookie(SESSION, "of-ada")
    assert "ada" in client.get("/shop/account").text
    assert "ada" in client.get("/shop/greeting").text
    assert client.post("/shop/account").headers["RateLimit"].startswith('"user"') and handled == [User]
    client.delete_cookie(SESSION)
    assert "nobody" in client.get("/shop/greeting").text


def test_cookie_is_bound_to_the_host_and_hidden_from_scripts(client):
    [header] = client.post("/shop/cart", data={"productId": "lamp"}).headers.getlist("Set-Cookie")
    assert header == "__Host-session=new; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_cookies_that_browsers_would_not_take_are_refused(pages, client):
    with client.application.flask.test_request_context():
        for name, value in (("session", "a"), (SESSION, "a;b"), (SESSION, "a b"), (SESSION, "a" * 4096)):
            with pytest.raises(ValueError, match="session"):
                cookies.set(name, value, max_age_s=1)
        cookies.set(SESSION, "later", max_age_s=1)
        assert cookies.get(SESSION) == "later"
        cookies.delete(SESSION)
        assert cookies.get(SESSION) == ""


def test_public_page_has_an_etag_and_knows_no_cookies(client):
    found = client.get("/shop/search?q=lamp", headers={"Cookie": f"{SESSION}=of-ada"})
    assert found.headers["Cache-Control"] == "public, max-age=30"
    again = client.get("/shop/search?q=lamp", headers={"If-None-Match": found.headers["ETag"]})
    assert (again.status_code, again.text, again.headers["ETag"]) == (304, "", found.headers["ETag"])
    assert again.headers["Vary"] == found.headers["Vary"] == "Accept-Language, HX-Request"
    other = client.get("/shop/search?q=chair", headers={"If-None-Match": found.headers["ETag"]})
    assert (other.status_code, other.headers["ETag"] != found.headers["ETag"]) == (200, True)
    assert client.get("/shop/leak").status_code == 500


def test_page_of_a_user_cannot_be_declared_public(pages):
    with pytest.raises(ValueError, match="cache_s"):
        pages.get("/shop/mine", auth=OPTIONAL, cache_s=30)(lambda: None)


def test_fragment_is_one_block_of_the_page(client):
    whole, part = (client.get("/shop/search", headers=headers) for headers in ({}, {"HX-Request": "true"}))
    assert part.text == '<p title="nothing 1">nothing 1</p>' and part.text in whole.text and "<link" in whole.text


def test_private_page_is_kept_by_no_cache(client):
    found = client.get("/shop/greeting")
    assert (found.headers["Cache-Control"], "ETag" in found.headers) == ("no-store", False)


def test_head_has_the_headers_of_the_page(client):
    assert client.head("/shop/search").headers["ETag"] == client.get("/shop/search").headers["ETag"]
    assert client.head("/shop/search").data == b""


@pytest.mark.usefixtures("fake_clock")
def test_page_has_less_time_than_other_requests(client):
    assert ">0.8<" in client.get("/shop/time").text


def test_other_documents_have_their_own_media_types(client):
    found = client.get("/sitemap.xml")
    assert (found.content_type, found.text) == ("application/xml; charset=utf-8", "<loc>a&amp;b</loc>")
    assert client.get("/openapi.json").content_type == "application/json"


def test_malformed_template_ends_the_start(pages, tmp_path):
    (tmp_path / "templates" / "broken.html").write_text("{% if %}")
    with pytest.raises(TemplateSyntaxError):
        app_of(pages)


def test_user_whose_token_another_service_refuses_signs_in_again(client):
    client.set_cookie(SESSION, "ended")
    found = client.get("/shop/orders?page=2")
    assert (found.status_code, found.headers["Location"]) == (303, "/shop/sign-in?next=%2Fshop%2Forders%3Fpage%3D2")
    assert found.headers["Set-Cookie"].startswith(f"{SESSION}=; Max-Age=0;")


def test_page_for_everybody_goes_on_without_a_user_whose_token_is_refused(client):
    client.set_cookie(SESSION, "ended")
    found = client.get("/shop/basket", headers={"HX-Request": "true"})
    assert (found.status_code, "a guest" in found.text) == (200, True)
    assert found.headers["Set-Cookie"].startswith(f"{SESSION}=; Max-Age=0;")
    client.set_cookie(SESSION, "of-ada")
    kept = client.get("/shop/basket")
    assert ("ada" in kept.text, "Set-Cookie" in kept.headers) == (True, False)
