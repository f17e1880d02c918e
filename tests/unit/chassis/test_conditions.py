"""Conditional requests: the tag of a representation, what a client has, and which version a write is based on."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.test import Client

from chassis.calls.tokens import ServiceTokens
from chassis.errors import IfMatch, require_version
from chassis.schema import RequestBody, Schema
from chassis.web import conditions, idempotency
from chassis.web.access import Access
from chassis.web.api import ANYONE, Api, Response
from chassis.web.app import make_app
from chassis.web.auth import Verifier

VERSION, STOCK = 7, {"stock": 3}


class Kettle(Schema):
    stock: int


class Change(RequestBody):
    stock: int


api = Api()


@api.get("/api/kettles/{id}", auth=ANYONE, responses={200: Kettle}, public_for_s=30)
def get_kettle(id: str) -> Response:
    return Response(Kettle(stock=STOCK["stock"]), version=VERSION)


@api.put("/api/kettles/{id}", auth=ANYONE, responses={200: Kettle})
def change_kettle(id: str, body: Change, if_match: IfMatch) -> Response:
    require_version(if_match, VERSION)
    return Response(Kettle(stock=body.stock), version=VERSION + 1)


@pytest.fixture
def client(store):
    idempotency.records.attach(store).ensure_indexes()
    STOCK["stock"] = 3
    return Client(make_app("kettles", [api], {}, Access(Verifier(dict)), ServiceTokens("kettles", "s" * 32)))


def get(client, if_none_match):
    return client.get("/api/kettles/k", headers={"If-None-Match": if_none_match})


def put(client, if_match):
    return client.put("/api/kettles/k", json={"stock": 1}, headers={"If-Match": if_match})


@pytest.mark.parametrize("form", ["{}", "W/{}", '"0", {}', '{},"0"', ' , W/"0" ,\t{} ,', "*", '"a,b", {}', '"", {}'])
def test_a_client_that_has_the_representation_gets_304_without_a_body(client, form):
    tag = client.get("/api/kettles/k").headers["ETag"]
    response = get(client, form.format(tag))
    assert (response.status_code, response.data, response.headers["ETag"]) == (304, b"", tag)
    assert response.headers["Cache-Control"] == "public, max-age=30"
    assert "Content-Length" not in response.headers


@pytest.mark.parametrize("form", ['"7"', 'W/"7"', '"0"', "7", "{}x", "x, {}", '{}, "', "", "**"])
def test_any_other_condition_gets_the_whole_representation(client, form):
    tag = client.get("/api/kettles/k").headers["ETag"]
    response = get(client, form.format(tag))
    assert (response.status_code, response.json, response.headers["ETag"]) == (200, {"stock": 3}, tag)


def test_a_change_without_a_new_version_is_seen_and_blocks_no_write(client):
    before = client.get("/api/kettles/k").headers["ETag"]
    STOCK["stock"] = 2
    after = get(client, before)
    assert (after.status_code, after.json) == (200, {"stock": 2})
    assert after.headers["ETag"] != before
    assert put(client, before).status_code == 200


@pytest.mark.parametrize(
    "form", ["{}", "W/{}", '"77", {}', '{} , "77-ab"', '"7"', 'W/"7"', '"6","7"', '"7-0123456789abcdef"', "*", " * "]
)
def test_a_write_based_on_the_version_succeeds(client, form):
    assert put(client, form.format(client.get("/api/kettles/k").headers["ETag"])).status_code == 200


@pytest.mark.parametrize(
    "form", ['"6"', '"77", "6"', "7", '"7', '"7" "6"', '"7", *', '"x"', '"-7"', '"7-"', '"7-xyz"', '"+7"', '"7 "', ""]
)
def test_a_write_based_on_another_version_gets_412(client, form):
    assert put(client, form).status_code == 412


def test_only_a_public_read_may_be_cached(client):
    for response in (
        put(client, '"7"'),
        put(client, '"6"'),
        client.get("/api/kettles/!"),
        client.get("/health"),
        client.get("/nowhere"),
    ):
        assert response.headers.getlist("Cache-Control") == ["no-store"]
        assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]


def test_head_has_the_tag_of_get(client):
    tag = client.get("/api/kettles/k").headers["ETag"]
    assert client.head("/api/kettles/k").headers["ETag"] == tag
    assert client.head("/api/kettles/k", headers={"If-None-Match": tag}).status_code == 304


@given(st.integers(0, 10**18 - 1), st.binary(), st.binary())
def test_tags_are_equal_only_for_equal_bodies(version, body, other):
    tag = conditions.etag(version, body)
    assert (tag == conditions.etag(version, other)) is (body == other)
    assert conditions.accepted_versions(tag) == {version}
    assert conditions.is_unchanged(f"W/{tag}", tag)


TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=40)


@given(st.one_of(TEXT, st.lists(st.sampled_from(['"7"', "W/", '"', ",", " ", "*", '"7-ab"', "x"])).map("".join)))
@example('"' * 8000)
@example(", " * 4000)
@example('"a",' * 2000)
@example('W/"' * 2000)
def test_no_header_raises_an_exception(header):
    conditions.is_unchanged(header, '"7-ab"')
    accepted = conditions.accepted_versions(header)
    assert accepted is None or all(isinstance(each, int) for each in accepted)
