"""Every route, requested by everyone who must not use it, and by others for objects that are not theirs."""

import pytest

from tests.hostile.actors import Actors
from tests.hostile.connection import Response
from tests.hostile.contract import Route, routes

PROTECTED = [route for route in routes() if not route.is_public and not route.takes_any_caller]
ANY_CALLER = [route for route in routes() if route.takes_any_caller]
ONE_OBJECT = [route for route in (*PROTECTED, *ANY_CALLER) if "{id}" in route.path and not route.is_for_administrators]
OWN_LISTS = [route for route in PROTECTED if "{id}" not in route.path and not route.is_for_administrators]
TAKES_USER_ID = [
    route
    for route in OWN_LISTS
    if "userId" in route.parameters("query") or (route.body and "userId" in route.body["properties"])
]


def each(listed: list[Route]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", listed, ids=str)


def body_without_trace(response: Response) -> dict[str, object]:
    """Return the body of a response without its trace id."""
    return {name: value for name, value in response.data().items() if name != "traceId"}


@each(PROTECTED)
def test_every_invalid_token_gets_the_same_401(actors: Actors, route: Route) -> None:
    body = actors.example(route)
    without = actors.ask(route, "", body=body)
    assert not without.mismatch(401)
    assert without.headers["WWW-Authenticate"] == "Bearer"
    for what, token in actors.rejected_tokens.items():
        answer = actors.ask(route, token, body=body)
        assert (answer.status, body_without_trace(answer)) == (401, body_without_trace(without)), what


@each(PROTECTED)
def test_authentication_comes_before_validation(actors: Actors, route: Route) -> None:
    for target, body in (("?nonsense=1", {"nonsense": 1}), ("", ["nonsense"])):
        assert not actors.ask(route, "", actors.target(route) + target, body).mismatch(401)


@each([route for route in routes() if route.is_public and not route.is_signed])
def test_public_route_ignores_an_invalid_token(actors: Actors, route: Route) -> None:
    body = {} if route.body else None
    without = actors.ask(route, "", body=body)
    assert not without.mismatch(422 if route.body or route.needs_query else min(route.successes))
    for what, token in actors.rejected_tokens.items():
        assert actors.ask(route, token, body=body).status == without.status, what


@each(ANY_CALLER)
def test_route_for_any_caller_rejects_an_invalid_token_and_shows_nothing_without(actors: Actors, route: Route) -> None:
    body = actors.example(route)
    assert not actors.ask(route, "", body=body).mismatch(404)
    for what, token in actors.rejected_tokens.items():
        assert actors.ask(route, token, body=body).status == (401 if token else 404), what


@each([route for route in PROTECTED if route.is_for_administrators])
def test_admin_route_rejects_customers(actors: Actors, route: Route) -> None:
    for person in (actors.owner, actors.other, actors.demoted):
        assert not actors.ask(route, person.token, body=actors.example(route)).mismatch(403)


@each(ONE_OBJECT)
def test_object_of_another_user_looks_like_a_missing_one(actors: Actors, route: Route) -> None:
    never = actors.ask(route, actors.other.token, actors.target(route, "never-made"), actors.example(route))
    assert not never.mismatch(404)
    for person in (actors.other, actors.demoted):
        answer = actors.ask(route, person.token, body=actors.example(route))
        assert not answer.mismatch(404)
        assert answer.data()["detail"] == never.data()["detail"]


@each([route for route in ONE_OBJECT if route.service == "users"])
def test_erased_user_is_not_found_by_anyone(actors: Actors, route: Route) -> None:
    target = route.path.replace("{id}", actors.erased.id)
    assert not actors.ask(route, actors.admin.token, target, actors.example(route)).mismatch(404)


@each(OWN_LISTS)
def test_own_lists_hold_nothing_of_other_users(actors: Actors, route: Route) -> None:
    for person in (actors.other, actors.demoted):
        answer = actors.ask(route, person.token, body=actors.example(route))
        needs_more = (
            (403, 404, 409) if "second-factor" in route.path or "merges" in route.path else ()
        )  # than an example body has
        assert not answer.mismatch(200, 201, 202, *needs_more)
        assert not actors.find_leaks(answer, person)
        assert actors.owned_ids["orders"].encode() not in answer.body


@each(TAKES_USER_ID)
def test_user_id_of_another_user_is_rejected(actors: Actors, route: Route) -> None:
    body, query = actors.example(route), ""
    if route.body:
        body["userId"] = actors.owner.id
    else:
        query = f"?userId={actors.owner.id}"
    for person in (actors.other, actors.demoted):
        assert not actors.ask(route, person.token, actors.target(route) + query, body).mismatch(403)


def test_erased_user_cannot_place_an_order(actors: Actors) -> None:
    answer = actors.erased.client.post("/api/orders", {"productId": actors.owned_ids["products"], "quantity": 1})
    assert answer.status_code == 401


@each([route for route in routes() if route.method == "GET"])
def test_owner_and_administrator_have_access(actors: Actors, route: Route) -> None:
    """The proof that the other tests reject requests for the right reason."""
    assert not actors.ask(route, actors.allowed_client(route).token).mismatch(200)
