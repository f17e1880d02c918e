"""Every hostile value in every field of every route is refused as the contract says, and leaves nothing behind."""

import pytest

from chassis import clock
from tests import dump
from tests.faults import checker
from tests.hostile import values
from tests.hostile.cast import Cast
from tests.hostile.contract import Route, routes
from tests.hostile.inputs import Input, inputs
from tests.hostile.line import Answer, Line
from tests.system.platform import PASSWORD, eventually

AT_LEAST = 600
ALL = [route for route in routes() if not route.path.endswith("/health")]
SENT: set[tuple[object, ...]] = set()


def send(line: Line, route: Route, token: str, each: Input) -> Answer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if each.body is not None:
        headers["Content-Type"] = "application/json"
    headers |= each.headers
    return line.ask(route.method, each.target, headers, each.body)


@pytest.fixture(scope="module")
def all_the_same(cast: Cast) -> object:
    """What the owner has is in the end as it was in the beginning."""
    eventually(lambda: not checker.unfinished_work(dump.read(cast.shop.place)))
    paths = [f"/api/{service}/{id}" for service, id in cast.things.items()]
    before = [cast.admin.get(path).json() for path in paths]
    yield
    assert [cast.admin.get(path).json() for path in paths] == before


@pytest.mark.parametrize("route", ALL, ids=str)
@pytest.mark.usefixtures("all_the_same")
def test_what_is_hostile_is_refused_as_the_contract_says(cast: Cast, route: Route) -> None:
    line, token, wrong = Line(cast.shop.port), cast.person_for(route).token, []
    for each in inputs(route, cast.target(route), cast.example(route)):
        answer = send(line, route, token, each)
        SENT.add(each.fingerprint(route))
        if fault := answer.wrong(*each.statuses):
            wrong.append(f"{each.what} {each.target[:80]} {(each.body or b'')[:80]!r} {each.headers}: {fault}")
    assert not wrong, f"{len(wrong)} of them:\n" + "\n".join(wrong[:40])


@pytest.mark.parametrize("route", [route for route in ALL if route.body and not route.is_public], ids=str)
def test_size_comes_before_the_token_and_the_token_before_the_rest(cast: Cast, route: Route) -> None:
    line, target = Line(cast.shop.port), cast.target(route)
    for raw, status in ((b" " * 65_537, 413), (b"{", 401), (b'{"nonsense": 1}', 401)):
        assert not send(line, route, "", Input("", target, (), raw)).wrong(status)
    assert not send(line, route, "", Input("", target, (), b"{}", {"Content-Type": "text/plain"})).wrong(401)


@pytest.mark.parametrize("words", ["(a%2B)%2B%24", "%5Ea.*%24", "kettle%7C.*", "a%25", "%22kettle%22*", "NEAR(a)"])
def test_what_looks_like_an_expression_is_only_words(cast: Cast, words: str) -> None:
    answer = cast.line.ask("GET", f"/api/products?q={words}", {})
    assert answer.status == 200
    assert len(answer.data()["items"]) <= 20


@pytest.mark.parametrize("words", [".*", "%25", "*", "%5B%5D", "--", "%F0%9F%92%A9", "%20"])
def test_a_search_for_no_word_is_refused(cast: Cast, words: str) -> None:
    assert not cast.line.ask("GET", f"/api/products?q={words}", {}).wrong(422)


@pytest.mark.parametrize("text", values.STRANGE)
def test_text_that_is_only_strange_comes_back_as_it_was(cast: Cast, text: str) -> None:
    product = cast.admin.post("/api/products", {"name": text, "price": "1.00", "stock": 1, "category": text})
    assert product.status_code == 201
    read = cast.admin.get(product.headers["Location"])
    assert (read.json()["name"], read.json()["category"]) == (text, text)
    assert cast.admin.get("/api/products", params={"category": text}).json()["items"]


def test_twins_of_an_address_are_one_account(cast: Cast) -> None:
    name = clock.new_id().lower()
    for form, status in (("\u00e9", 201), ("e\u0301", 409), ("\u00c9", 409)):
        person = {"email": f"{form}{name}@example.com", "name": "Twin", "password": PASSWORD}
        assert cast.shop.guest().post("/api/users", person).status_code == status


def test_the_table_makes_many_inputs() -> None:
    assert len(SENT) >= AT_LEAST, "or not every route was run"
    print(f"{len(SENT)} distinct hostile inputs")
