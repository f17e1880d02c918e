"""Every route, asked by everyone who must not use it, and by those who may for what is not theirs."""

import pytest

from tests.hostile.cast import Cast
from tests.hostile.contract import Route, routes
from tests.hostile.line import Answer

PROTECTED = [route for route in routes() if not route.is_public]
ABOUT_ONE = [route for route in PROTECTED if "{id}" in route.path and not route.is_for_administrators]
OF_ONESELF = [route for route in PROTECTED if "{id}" not in route.path and not route.is_for_administrators]
NAMES_A_USER = [
    route
    for route in OF_ONESELF
    if "userId" in route.parameters("query") or (route.body and "userId" in route.body["properties"])
]


def each(listed: list[Route]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", listed, ids=str)


def said(answer: Answer) -> dict[str, object]:
    """What an answer says, but for its trace."""
    return {name: value for name, value in answer.data().items() if name != "traceId"}


@each(PROTECTED)
def test_without_a_good_token_nobody_passes_and_all_are_told_the_same(cast: Cast, route: Route) -> None:
    body = cast.example(route)
    without = cast.ask(route, "", body=body)
    assert not without.wrong(401)
    assert without.headers["WWW-Authenticate"] == "Bearer"
    for what, token in cast.tokens_of_nobody.items():
        answer = cast.ask(route, token, body=body)
        assert (answer.status, said(answer)) == (401, said(without)), what


@each(PROTECTED)
def test_who_is_not_signed_in_does_not_learn_what_a_route_would_take(cast: Cast, route: Route) -> None:
    for target, body in (("?nonsense=1", {"nonsense": 1}), ("", ["nonsense"])):
        assert not cast.ask(route, "", cast.target(route) + target, body).wrong(401)


@each([route for route in routes() if route.is_public])
def test_a_bad_token_does_no_harm_where_none_is_asked_for(cast: Cast, route: Route) -> None:
    body = {} if route.body else None
    without = cast.ask(route, "", body=body)
    assert not without.wrong(422 if route.body else 200)
    for what, token in cast.tokens_of_nobody.items():
        assert cast.ask(route, token, body=body).status == without.status, what


@each([route for route in PROTECTED if route.is_for_administrators])
def test_what_is_for_administrators_is_refused_to_customers(cast: Cast, route: Route) -> None:
    for person in (cast.owner, cast.other, cast.erased):
        assert not cast.ask(route, person.token, body=cast.example(route)).wrong(403)


@each(ABOUT_ONE)
def test_what_belongs_to_another_is_not_there_and_looks_like_what_never_was(cast: Cast, route: Route) -> None:
    never = cast.ask(route, cast.other.token, route.path.replace("{id}", "never-made"), cast.example(route))
    assert not never.wrong(404)
    for person in (cast.other, cast.erased):
        answer = cast.ask(route, person.token, body=cast.example(route))
        assert not answer.wrong(404)
        assert answer.data()["detail"] == never.data()["detail"]


@each([route for route in ABOUT_ONE if route.service == "users"])
def test_an_erased_user_is_not_there_for_itself_either(cast: Cast, route: Route) -> None:
    target = route.path.replace("{id}", cast.erased.id)
    for token in (cast.erased.token, cast.admin.token):
        assert not cast.ask(route, token, target, cast.example(route)).wrong(404)


@each(OF_ONESELF)
def test_one_s_own_lists_hold_nothing_of_anybody_else(cast: Cast, route: Route) -> None:
    for person in (cast.other, cast.erased):
        answer = cast.ask(route, person.token, body=cast.example(route))
        refused = (403, 404) if person is cast.erased else ()
        assert not answer.wrong(200, 201, 202, *refused)
        assert not cast.leaked(answer, person)
        assert cast.things["orders"].encode() not in answer.body


@each(NAMES_A_USER)
def test_nobody_asks_in_the_name_of_another(cast: Cast, route: Route) -> None:
    body, query = cast.example(route), ""
    if route.body:
        body["userId"] = cast.owner.id
    else:
        query = f"?userId={cast.owner.id}"
    for person in (cast.other, cast.erased):
        assert not cast.ask(route, person.token, cast.target(route) + query, body).wrong(403)


def test_an_erased_user_buys_nothing(cast: Cast) -> None:
    answer = cast.erased.client.post("/api/orders", {"productId": cast.things["products"], "quantity": 1})
    assert answer.status_code == 403


@each([route for route in routes() if route.method == "GET"])
def test_the_owner_and_the_administrator_are_not_kept_out(cast: Cast, route: Route) -> None:
    """Or all of the above would prove nothing."""
    assert not cast.ask(route, cast.person_for(route).token).wrong(200)
