"""The hooks of Flask work as in any Flask app, also those that are rarely used."""

import pytest
from flask import after_this_request, request_finished
from werkzeug.test import Client

from chassis.calls.tokens import ServiceTokens
from chassis.errors import DomainError
from chassis.schema import Schema
from chassis.web import idempotency
from chassis.web.access import Access
from chassis.web.api import ANYONE, Api
from chassis.web.app import make_app
from chassis.web.auth import Verifier


class Greeting(Schema):
    text: str


class Speechless(DomainError):
    """There is nothing to say."""


class Broken(Exception):
    """An error that only a service knows."""


api = Api()


@api.get("/api/greetings/{id}", auth=ANYONE, responses={200: Greeting}, errors=(Speechless,))
def greet(id: str) -> Greeting:
    if id == "late":
        after_this_request(lambda response: mark(response, "late"))
    if id == "broken":
        raise Broken
    return Greeting(text=id)


@api.post("/api/greetings/{id}", auth=ANYONE, responses={200: Greeting})
def repeat(id: str) -> Greeting:
    raise Broken


def mark(response, value):
    response.headers["X-Marked"] = value
    return response


@pytest.fixture
def app(store):
    idempotency.records.attach(store).ensure_indexes()
    return make_app("greetings", [api], {}, Access(Verifier(dict)), ServiceTokens("greetings", "s" * 32))


@pytest.fixture
def client(app):
    return Client(app)


def test_before_request_may_answer_instead_of_the_view(app, client):
    app.flask.before_request(lambda: ("closed", 503))
    response = client.get("/api/greetings/hello")
    assert (response.status_code, response.text) == (503, "closed")


def test_after_request_sees_every_response(app, client):
    app.flask.after_request(lambda response: mark(response, "always"))
    for path, status in (("/api/greetings/hello", 200), ("/nowhere", 404)):
        response = client.get(path)
        assert (response.status_code, response.headers["X-Marked"]) == (status, "always")


def test_after_this_request_sees_its_response_alone(client):
    assert client.get("/api/greetings/late").headers["X-Marked"] == "late"
    assert "X-Marked" not in client.get("/api/greetings/hello").headers


def test_teardown_runs_after_the_request(app, client):
    seen = []
    app.flask.teardown_request(lambda error: seen.append("request"))
    app.flask.teardown_appcontext(lambda error: seen.append("app"))
    client.get("/api/greetings/hello")
    assert seen == ["request", "app"]


def test_error_handler_of_a_service_comes_before_the_general_one(app, client):
    app.flask.register_error_handler(Broken, lambda error: ("mended", 418))
    assert client.get("/api/greetings/broken").text == "mended"
    keyed = client.post("/api/greetings/broken", headers={"Idempotency-Key": "k1"})
    assert (keyed.status_code, keyed.text) == (418, "mended")


def test_signals_are_sent(app, client):
    seen = []

    def note(sender, response):
        seen.append(response.status_code)

    with request_finished.connected_to(note, app.flask):
        client.get("/api/greetings/hello")
    assert seen == [200]


def test_hook_that_comes_after_the_first_request_is_rejected(app, client):
    client.get("/api/greetings/hello")
    with pytest.raises(AssertionError, match="has already handled its first request"):
        app.flask.before_request(lambda: None)


def test_session_cannot_be_written(app, client):
    from flask import session

    @app.flask.after_request
    def remember(response):
        with pytest.raises(RuntimeError):
            session["user"] = "u1"
        return mark(response, "checked")

    assert client.get("/api/greetings/hello").headers["X-Marked"] == "checked"
