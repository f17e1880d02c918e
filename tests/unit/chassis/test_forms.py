"""Forms of a toy shop: which ones reach their handler."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from chassis.web import forms
from chassis.web.problems import Problem
from tests.unit.chassis.page_shop import SESSION, Add


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://shop.example"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "https://localhost"}, True),
        ({"Origin": "http://LOCALHOST"}, True),
        ({"Origin": "http://localhost:81"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://user@localhost"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://["}, False),
        ({"Origin": "localhost"}, False),
        ({}, True),
    ],
    ids=str,
)
def test_form_of_another_site_is_refused_before_its_handler(client, handled, headers, passes):
    found = client.post("/shop/cart", data={"productId": "lamp"}, headers=headers)
    assert (found.status_code, len(handled)) == ((303, 1) if passes else (403, 0))
    assert ("Set-Cookie" in found.headers) is passes


def test_form_of_another_site_does_not_even_count_or_identify(client, handled):
    found = client.post("/shop/account", headers={"Sec-Fetch-Site": "cross-site", "Cookie": f"{SESSION}=of-ada"})
    assert (found.status_code, handled, "RateLimit" in found.headers) == (403, [], False)


def test_valid_form_is_read_and_answered_with_303(client, handled):
    found = client.post("/shop/cart", data={"productId": "lamp", "quantity": "2", "tag": ["a", "b"]})
    assert (found.status_code, found.headers["Location"], found.text) == (303, "/shop/cart?added=1#lines", "")
    assert found.headers["Cache-Control"] == "no-store"
    assert handled == [Add(product_id="lamp", quantity=2, tag=["a", "b"])]


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ({"quantity": "2"}, {"productId": "Field required"}),
        ({"productId": "", "quantity": ""}, {"productId": "Field required"}),
        ({"productId": "lamp", "quantity": "many"}, {"quantity": "Input should be a valid integer"}),
        ({"productId": "lamp", "price": "0.01"}, {"price": "Extra inputs are not permitted"}),
        ({"productId": ["a", "b"]}, {"productId": "must be there once"}),
    ],
)
def test_invalid_form_shows_the_page_again_with_what_was_typed(client, handled, data, errors):
    found = client.post("/shop/cart", data=data)
    assert (found.status_code, found.content_type, handled) == (422, "text/html; charset=utf-8", [])
    for field, reason in errors.items():
        assert f"&#39;{field}&#39;: &#39;{reason}" in found.text
    assert "Set-Cookie" not in found.headers


def test_handler_may_reject_a_form_by_its_field(client):
    found = client.post("/shop/cart", data={"productId": "lamp", "quantity": "100"})
    assert found.status_code == 422 and "at most 99" in found.text and "&#39;quantity&#39;: &#39;100&#39;" in found.text


def test_invalid_form_of_a_page_without_an_answer_shows_the_problem(client, handled):
    found = client.post("/shop/strict", data={"quantity": "1"})
    assert (found.status_code, handled) == (422, []) and "Invalid input" in found.text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ('{"productId": "lamp"}', "application/json", 415),
        ("productId=lamp", "text/plain", 415),
        ("productId=%ff", "application/x-www-form-urlencoded", 400),
        ("productId=\u00e9", "application/x-www-form-urlencoded", 400),
        ("a=1&" * 501, "application/x-www-form-urlencoded", 413),
        ("productId=lamp", "application/x-www-form-urlencoded; charset=utf-8", 303),
    ],
)
def test_forms_have_one_media_type_and_encoding(client, handled, body, content_type, status):
    assert client.post("/shop/cart", data=body, content_type=content_type).status_code == status
    assert len(handled) == (status == 303)


def test_too_large_a_form_is_refused_with_a_page(client, handled):
    found = client.post("/shop/cart", data={"productId": "a" * 70_000})
    assert (found.status_code, found.content_type, handled) == (413, "text/html; charset=utf-8", [])
    assert found.headers["X-Trace-Id"] in found.text
    assert client.post("/api/shop", data=b"a" * 70_000).content_type == "application/problem+json"


@given(st.binary(max_size=100) | st.text("aproductIdquantity=&%+;1\x00", max_size=100).map(str.encode))
@example(b"quantity=" + b"9" * 5000)
@example(b"%=%&=&&productId=%00")
def test_any_body_is_read_or_refused(body):
    sent = EnvironBuilder(method="POST", data=body, content_type=forms.MEDIA_TYPE).get_environ()
    try:
        forms.read_form(Add, forms.read_fields(Request(sent)))
    except Problem as refused:
        assert refused.status in (400, 413)
    except forms.FormErrors as invalid:
        assert invalid.reasons
