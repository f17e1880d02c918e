"""Trace and deadline are taken over from a calling service, and from nobody else."""

import pytest
from werkzeug.test import Client

from chassis import deadline
from chassis.calls.tokens import LEEWAY_S, LIFETIME_S, ServiceTokens
from chassis.messages import ANY_SERVICE, Command
from chassis.observe import trace
from chassis.schema import Schema
from chassis.testing import capture_logs
from chassis.web.access import Access
from chassis.web.api import ANYONE, Api
from chassis.web.app import make_app
from chassis.web.auth import Verifier
from chassis.web.middleware import ROUTER_TOKEN

SECRET = "s" * 32
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CHOSEN = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Deadline-Ms": "900"}


class Seen(Schema):
    sampled: bool
    seconds: int


class Look(Command, callers=("orders",), read_only=True):
    Reply = Seen


class LookAround(Command, callers=(ANY_SERVICE,), read_only=True):
    Reply = Seen


class LookAway(Command, read_only=True):
    Reply = Seen


def seen(_=None) -> Seen:
    """Return what the request may still take, rounded up, and whether its trace is sampled."""
    return Seen(sampled=trace.traceparent().endswith("-01"), seconds=-int(-deadline.remaining(60) // 1))


api = Api()
api.get("/api/greetings", auth=ANYONE, responses={200: Seen})(lambda: seen())


@pytest.fixture(scope="module")
def client():
    commands = dict.fromkeys((Look, LookAround, LookAway), seen)
    return Client(make_app("greetings", [api], commands, Access(Verifier(dict)), ServiceTokens("greetings", SECRET)))


def as_service(name, audience="greetings", secret=SECRET):
    return {"Authorization": f"Bearer {ServiceTokens(name, secret).issue(audience)}"}


@pytest.mark.parametrize("command", ["look", "look-around"])
def test_trace_and_deadline_of_a_calling_service_are_continued(client, command):
    response = client.post(f"/internal/{command}", json={}, headers=CHOSEN | as_service("orders"))
    assert (response.status_code, response.json) == (200, {"sampled": True, "seconds": 1})
    assert response.headers["X-Trace-Id"] == TRACE


@pytest.mark.parametrize("forwarded", [{}, {"X-Forwarded-For": "10.0.0.1"}, {"Authorization": "Bearer a.b.c"}])
def test_a_client_chooses_neither_trace_nor_sampling_nor_deadline(client, forwarded):
    """Whether the request comes through an Ingress that passes the headers on, or from a pod of the cluster."""
    response = client.get("/api/greetings", headers=CHOSEN | forwarded)
    assert (response.status_code, response.json) == (200, {"sampled": False, "seconds": 5})
    assert response.headers["X-Trace-Id"] != TRACE


def test_a_service_token_does_not_count_outside_of_internal_routes(client):
    response = client.get("/api/greetings", headers=CHOSEN | as_service("orders"))
    assert response.json == {"sampled": False, "seconds": 5}


def as_router(audience="greetings", secret=SECRET):
    return {ROUTER_TOKEN: ServiceTokens("router", secret).issue(audience)}


def test_trace_of_the_local_router_is_continued_but_not_its_deadline(client):
    response = client.get("/api/greetings", headers=CHOSEN | as_router())
    assert response.json == {"sampled": True, "seconds": 5}
    assert response.headers["X-Trace-Id"] == TRACE


@pytest.mark.parametrize("token", [{ROUTER_TOKEN: "a.b.c"}, as_router("orders"), as_router(secret="x" * 32)])
def test_a_client_cannot_pass_for_the_local_router(client, token):
    assert client.get("/api/greetings", headers=CHOSEN | token).json == {"sampled": False, "seconds": 5}
    assert client.post("/internal/look", json={}, headers=as_router()).status_code == 401


def test_a_verified_token_is_not_believed_after_its_end(fake_clock):
    token, tokens = ServiceTokens("orders", SECRET).issue("greetings"), ServiceTokens("greetings", SECRET)
    for _ in range(2):
        assert tokens.caller(token) == "orders"
    fake_clock.pass_time(LIFETIME_S + LEEWAY_S - 1)
    assert tokens.caller(token) == "orders"
    fake_clock.pass_time(6)
    assert tokens.caller(token) == ""


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/api/greeting", "/api/greeting"),
        ("/%1b%5b31m%0aroot", "/%1B%5B31m%0Aroot"),
        ("/users/ada%40example.com", "/users/..."),
        ("/reset/" + "t" * 43, "/reset/" + "t" * 32),
        ("/" + "a/" * 3000, "/" + "a/" * 14 + "a"),
    ],
)
def test_a_path_without_a_route_is_logged_cut_and_escaped(client, path, logged):
    with capture_logs() as lines:
        assert client.get(f"{path}?token=secret").status_code == 404
    assert [(line["message"], line["route"], line["path"]) for line in lines] == [("request", "", logged)]


def test_a_path_with_a_route_is_not_logged(client):
    with capture_logs() as lines:
        client.get("/api/greetings")
    assert ["path" in line for line in lines] == [False]


@pytest.mark.parametrize(
    "token",
    [{}, {"Authorization": "Bearer a.b.c"}, as_service("orders", "payments"), as_service("orders", secret="x" * 32)],
    ids=["none", "malformed", "for another service", "of another platform"],
)
def test_an_internal_route_ignores_the_trace_of_whoever_is_no_service(client, token):
    response = client.post("/internal/look", json={}, headers=CHOSEN | token)
    assert response.status_code == 401
    assert response.headers["X-Trace-Id"] != TRACE


@pytest.mark.parametrize(
    ("command", "caller", "status"),
    [
        ("look", "orders", 200),
        ("look", "payments", 403),
        ("look", "*", 403),
        ("look-around", "payments", 200),
        ("look-away", "orders", 403),
        ("look-away", "greetings", 403),
    ],
)
def test_a_command_is_carried_out_for_its_callers_only(client, command, caller, status):
    assert client.post(f"/internal/{command}", json={}, headers=as_service(caller)).status_code == status


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_command_is_json(client, content_type):
    headers = as_service("orders") | {"Content-Type": content_type}
    assert client.post("/internal/look", data=b"{}", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Content-Type": ""}, b"{}", 415),
        ({"Content-Encoding": "gzip"}, b"{}", 415),
        ({}, b"", 400),
        ({}, b'{"a": 1, "a": 2}', 400),
        ({}, b"[" * 30 + b"]" * 30, 400),
        ({}, b"[]", 422),
        ({}, b'"' + b"x" * 70_000 + b'"', 413),
    ],
)
def test_a_malformed_command_is_rejected_with_a_problem(client, headers, body, status):
    headers = {"Content-Type": "application/json"} | as_service("orders") | headers
    response = client.post("/internal/look", data=body, headers=headers)
    assert (response.status_code, response.json["status"]) == (status, status)
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store" and response.headers["X-Trace-Id"]


def test_a_command_is_sent_by_post_to_its_exact_path(client):
    wrong = client.get("/internal/look", headers=as_service("orders"))
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")
    for path in ("/internal/look/", "/internal/Look", "/internal/", "/internal/nothing"):
        assert client.post(path, json={}, headers=as_service("orders")).status_code == 404, path
