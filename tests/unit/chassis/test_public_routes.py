"""Calls on behalf of clients, over real sockets to a service of the chassis or to one that misbehaves."""

import threading
from functools import partial
from io import BytesIO

import pytest
from prometheus_client import REGISTRY
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client as Browser

from chassis import calls, deadline
from chassis.calls import ProblemResponse, in_parallel, on_behalf
from chassis.calls.client import Client
from chassis.calls.outcomes import Unreachable
from chassis.calls.public_routes import acting_for
from chassis.calls.tokens import CLIENT_ADDRESS_HEADER, SERVICE_TOKEN_HEADER, ServiceTokens
from chassis.errors import DeadlineExceeded, DomainError, NotAttempted, OutcomeUnknown, TransientError
from chassis.observe import trace
from chassis.schema import QueryParams, RequestBody, Schema
from chassis.settings import Settings
from chassis.web import limits, page_views
from chassis.web.access import Access
from chassis.web.api import OPTIONAL, Api, Response
from chassis.web.app import make_app
from chassis.web.auth import Caller, Identity
from tests.faults.stub_server import ERROR_RESPONSE, client, closed_address, http_response, respond_with, stub_server
from tests.unit.chassis.page_shop import app_of

SECRET = "s" * 32
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SHOPPER, OTHER = "203.0.113.7", "203.0.113.8"


class Seen(Schema):
    id: str
    user: str
    address: str
    seconds: float
    trace_id: str
    colors: list[str] | str = ""


class Query(QueryParams):
    repeatable = frozenset({"colors"})

    colors: list[str] | str = ""


class Change(RequestBody):
    color: str


class Broken(DomainError):
    """The thing is broken."""


api = Api()


def seen(id: str, caller: Caller, colors: list[str] | str = "") -> Seen:
    seconds = round(deadline.remaining(60), 2)
    return Seen(
        id=id, user=caller.id, address=caller.address, seconds=seconds, trace_id=trace.trace_id(), colors=colors
    )


@api.get("/api/things/{id}", auth=OPTIONAL, responses={200: Seen})
def show(id: str, caller: Caller, query: Query) -> Response:
    return Response(seen(id, caller, query.colors), version=3)


@api.post("/api/things/{id}/changes", auth=OPTIONAL, responses={201: Seen}, errors=(Broken,), idempotent=False)
def change(id: str, caller: Caller, body: Change) -> Response:
    if body.color == "none":
        raise Broken("It has no color.", parts=2)
    return Response(seen(id, caller, body.color), status=201)


@api.delete("/api/things/{id}", auth=OPTIONAL, responses={204: None}, idempotent=False)
def remove(id: str) -> Response:
    return Response(status=204)


class Tokens:
    verify = staticmethod({"token-of-ada": Identity("ada", "customer")}.get)


class Silent(WSGIRequestHandler):
    def log(self, *_):
        """Log nothing."""


@pytest.fixture(scope="module")
def callee():
    """The app of the called service, and its address."""
    app = make_app("things", [api], {}, Access(Tokens()), ServiceTokens("things", SECRET))

    def with_body(environ, start_response):  # the app reads to the end, which this server does not mark
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return app(environ | {"wsgi.input": BytesIO(body)}, start_response)

    server = make_server("127.0.0.1", 0, with_body, threaded=True, request_handler=Silent)
    threading.Thread(target=partial(server.serve_forever, 0.02), daemon=True).start()
    yield app, f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def things(callee, monkeypatch):
    limits._local._windows.clear()
    shop = Client(ServiceTokens("shop", SECRET), lambda _: lambda: [[callee[1]]], 16)
    monkeypatch.setattr(calls, "_client", shop)
    return on_behalf("things")


def test_callee_knows_user_address_deadline_and_trace_of_the_client(things):
    with acting_for(SHOPPER), deadline.within(4), trace.continue_trace(f"00-{TRACE}-00f067aa0ba902b7-01"):
        found = things.get("/api/things/{id}", id="lamp", token="token-of-ada", query={"colors": ["red", "blue"]})
    assert found.body.pop("seconds") <= 4
    assert found.body == {
        "id": "lamp", "user": "ada", "address": SHOPPER, "traceId": TRACE, "colors": ["red", "blue"]
    }  # fmt: skip
    assert (found.status, found.headers["etag"].startswith('"3-')) == (200, True)


def test_client_without_a_token_is_its_address_alone(things):
    with acting_for(OTHER):
        found = things.get("/api/things/{id}", id="lamp", query={"colors": None})
    assert (found.body["user"], found.body["address"], found.body["colors"]) == ("", OTHER, "")


def test_call_for_no_client_has_the_address_of_the_service(things):
    assert things.get("/api/things/{id}", id="lamp").body["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    "token",
    [
        {},
        {SERVICE_TOKEN_HEADER: "a.b.c"},
        {SERVICE_TOKEN_HEADER: ServiceTokens("shop", SECRET).issue("orders")},
        {SERVICE_TOKEN_HEADER: ServiceTokens("shop", "x" * 32).issue("things")},
        {"Authorization": f"Bearer {ServiceTokens('shop', SECRET).issue('things')}"},
        {"X-Router-Token": ServiceTokens("router", SECRET).issue("things")},
    ],
    ids=["none", "malformed", "for another service", "of another platform", "as a user", "of the router"],
)
def test_client_cannot_choose_its_address_or_its_deadline(callee, token):
    headers = {CLIENT_ADDRESS_HEADER: SHOPPER, "X-Deadline-Ms": "900", **token}
    found = Browser(callee[0]).get("/api/things/lamp", headers=headers, environ_base={"REMOTE_ADDR": OTHER})
    if "Authorization" in token:
        assert found.status_code == 401
    else:
        assert (found.json["address"], found.json["seconds"] > 0.9) == (OTHER, True)


def test_each_client_of_the_shop_has_a_rate_limit_of_its_own(things, monkeypatch):
    monkeypatch.setattr(limits, "settings", lambda: Settings.from_environment({"RATE_ANONYMOUS": "2/minute"}))
    with acting_for(SHOPPER):
        for _ in range(2):
            things.delete("/api/things/{id}", id="lamp")
        with pytest.raises(ProblemResponse) as caught:
            things.delete("/api/things/{id}", id="lamp")
    assert caught.value.status == 429 and int(caught.value.headers["Retry-After"]) > 0
    with acting_for(OTHER):
        assert things.delete("/api/things/{id}", id="lamp").status == 204


def test_response_without_a_body_has_none(things):
    assert things.delete("/api/things/{id}", id="lamp").body is None
    same = things.get("/api/things/{id}", id="lamp", headers={"If-None-Match": "*"})
    assert (same.status, same.body) == (304, None)


def test_json_is_sent_and_the_status_is_returned(things):
    made = things.post("/api/things/{id}/changes", id="lamp", json={"color": "red"})
    assert (made.status, made.body["colors"]) == (201, "red")


def test_rejection_is_an_error_with_the_problem_unless_it_is_accepted(things):
    change = partial(things.post, "/api/things/{id}/changes", id="lamp", json={"color": "none"})
    with pytest.raises(ProblemResponse) as caught:
        change()
    error = caught.value
    assert (error.status, error.kind, error.type) == (409, "broken", "/problems/broken")
    assert (error.detail, error.body["parts"]) == ("It has no color.", 2)
    accepted = change(accept=(404, 409))
    assert (accepted.status, accepted.body["title"]) == (409, "Broken")


@pytest.mark.parametrize("id", ["a/b", "../secret", "a?b=c", "a b", "%2e", "ä", "a#b"])
def test_id_cannot_leave_its_part_of_the_path(things, id):
    with pytest.raises(ProblemResponse) as caught:
        things.get("/api/things/{id}", id=id)
    assert (caught.value.status, caught.value.kind) == (404, "not_found")


def test_metrics_have_the_template_and_no_id(things):
    things.get("/api/things/{id}", id="secret-id")
    labels = [sample.labels for metric in REGISTRY.collect() for sample in metric.samples]
    assert any("/api/things/{id}" in each.values() for each in labels)
    assert not any("secret-id" in str(each) for each in labels)


def test_missing_route_and_defect_are_failures_of_the_platform(things, monkeypatch):
    with pytest.raises(NotAttempted):
        things.get("/api/nothing")
    with stub_server(respond_with(ERROR_RESPONSE)) as (_, shop):
        monkeypatch.setattr(calls, "_client", shop)
        with pytest.raises(OutcomeUnknown):
            things.post("/api/things")
    monkeypatch.setattr(calls, "_client", client(closed_address()))
    with pytest.raises(Unreachable):
        things.get("/api/things")


@pytest.mark.parametrize(
    ("send", "requests"),
    [
        (lambda route: route.get("/x"), 2),
        (lambda route: route.post("/x", key="k"), 2),
        (lambda route: route.post("/x", json={}), 1),
        (lambda route: route.put("/x", json={}), 1),
    ],
    ids=["read", "write with a key", "write", "put"],
)
def test_only_what_may_be_repeated_is_repeated(things, monkeypatch, send, requests):
    with stub_server(respond_with(ERROR_RESPONSE, http_response(200, "{}"))) as (server, shop):
        monkeypatch.setattr(calls, "_client", shop)
        if requests == 1:
            with pytest.raises(OutcomeUnknown):
                send(things)
        else:
            assert send(things).body == {}
        assert server.request_count == requests


def test_rejections_do_not_open_the_circuit(things):
    for _ in range(30):
        with pytest.raises(ProblemResponse):
            things.get("/api/things/{id}", id="a b")
    assert things.get("/api/things/{id}", id="lamp").status == 200


def test_malformed_response_is_no_answer(things, monkeypatch):
    with stub_server(respond_with(http_response(200, "<html>"))) as (_, shop):
        monkeypatch.setattr(calls, "_client", shop)
        with pytest.raises(OutcomeUnknown):
            things.get("/x")


def test_page_passes_on_what_a_service_rejects(pages, things, monkeypatch):
    monkeypatch.setattr(page_views, "GET_DEADLINE_S", 4)

    @pages.get("/shop/things/{id}")
    def thing(id: str) -> object:
        return things.get("/api/things/{id}", id=f"{id} ") if id == "lost" else things.put("/api/things", json=[])

    browser = Browser(app_of(pages))
    found = browser.get("/shop/things/lost", environ_base={"REMOTE_ADDR": SHOPPER})
    assert (found.status_code, found.content_type) == (404, "text/html; charset=utf-8")
    assert found.headers["X-Trace-Id"] in found.text


def test_page_calls_on_behalf_of_its_client(pages, things, monkeypatch):
    monkeypatch.setattr(page_views, "GET_DEADLINE_S", 4)
    found = []

    @pages.get("/shop/things")
    def thing() -> object:
        first, second = in_parallel(*[lambda: things.get("/api/things/{id}", id="lamp").body] * 2)
        found.extend([first.value, second.value])
        raise Broken

    browser = Browser(app_of(pages))
    shown = browser.get("/shop/things", environ_base={"REMOTE_ADDR": SHOPPER})
    assert [each["address"] for each in found] == [SHOPPER] * 2
    assert {each["traceId"] for each in found} == {shown.headers["X-Trace-Id"]}
    assert all(each["seconds"] <= 4 for each in found)


def test_parallel_works_run_at_the_same_time_with_one_deadline():
    barrier = threading.Barrier(3)

    def meet(name):
        barrier.wait(timeout=30)
        return name, deadline.is_set()

    with deadline.within(60):
        parts = in_parallel(partial(meet, "a"), partial(meet, "b"), partial(meet, "c"))
    assert [part.value for part in parts] == [("a", True), ("b", True), ("c", True)]


def test_part_keeps_the_error_of_its_work_alone():
    def fail():
        raise NotAttempted("away")

    good, bad = in_parallel(lambda: 1, fail)
    assert (good.value, good.or_else(0), bad.or_else(0)) == (1, 1, 0)
    with pytest.raises(TransientError, match="away"):
        _ = bad.value


@pytest.mark.parametrize("position", [0, 1])
def test_defect_of_a_part_is_raised_after_all_have_ended(position):
    ended = []
    works = [lambda: ended.append(1), lambda: ended.append(2)]
    works.insert(position, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        in_parallel(*works)
    assert sorted(ended) == [1, 2]


def test_work_that_waited_past_the_deadline_calls_nobody(things):
    with deadline.within(-1):
        [part, _] = in_parallel(lambda: things.get("/api/things/{id}", id="lamp"), lambda: None)
    assert isinstance(part.error, DeadlineExceeded)
