"""Trace and deadline are taken over from a calling service, and from nobody else."""

import pytest
from werkzeug.test import Client

from chassis import deadline
from chassis.calls.tokens import ServiceTokens
from chassis.messages import ANY_SERVICE, Command
from chassis.observe import trace
from chassis.schema import Schema
from chassis.web.access import Access
from chassis.web.api import ANYONE, Api
from chassis.web.app import make_app
from chassis.web.auth import Verifier

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
