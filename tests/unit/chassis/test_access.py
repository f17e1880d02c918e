"""The right of an administrator is asked for wherever it decides; a caller's own objects need no question."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from werkzeug.test import Client, TestResponse

from chassis.access import AccessQuery
from chassis.calls.outcomes import NotServed
from chassis.calls.tokens import ServiceTokens
from chassis.errors import NotAttempted, TransientError
from chassis.schema import Schema
from chassis.settings import settings
from chassis.web import limits
from chassis.web.access import Access
from chassis.web.api import ADMIN, ANYONE, SIGNED_IN, Api, require_self
from chassis.web.app import make_app
from chassis.web.auth import Caller, Identity
from chassis.web.revocations import KnownRevocations

Answer = Callable[[], str | None]


class Note(Schema):
    id: str


api = Api()


@api.get("/api/notes/{id}", auth=SIGNED_IN, responses={200: Note})
def get_note(id: str, caller: Caller) -> Note:
    require_self(caller, id, "note")
    return Note(id=id)


@api.get("/api/notes", auth=ADMIN, responses={200: Note})
def list_notes(caller: Caller) -> Note:
    assert caller.is_admin
    return Note(id="all")


@api.post("/api/notes", auth=SIGNED_IN, responses={200: Note})
def create_note(caller: Caller) -> Note:
    return Note(id=caller.id)


@api.post("/api/refresh", auth=ANYONE, responses={200: Note})
def refresh() -> Note:
    return Note(id="new")


class Tokens:
    """Verifies tokens of the form `user.role`."""

    def verify(self, token: str) -> Identity | None:
        user, _, role = token.partition(".")
        return Identity(user, role, "s1", 4) if role else None


@dataclass
class Issuer:
    """The service that issues the tokens."""

    answer: Answer = lambda: "admin"
    asked: list[AccessQuery] = field(default_factory=list)

    def get_role(self, query: AccessQuery) -> AccessQuery.Reply:
        self.asked.append(query)
        return AccessQuery.Reply(role=self.answer())


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Issuer:
    found = Issuer()
    monkeypatch.setattr("chassis.calls.send", found.get_role)
    return found


def ask(path: str, token: str, access: Access | None = None) -> TestResponse:
    app = make_app("notes", [api], {}, access or Access(Tokens()), ServiceTokens("notes", "s" * 32))
    return Client(app).get(path, headers={"Authorization": f"Bearer {token}"})


def down() -> str:
    raise NotAttempted("users is away")


def test_own_object_needs_no_question(issuer: Issuer) -> None:
    assert ask("/api/notes/u1", "u1.customer").status_code == 200
    assert ask("/api/notes/a1", "a1.admin").status_code == 200
    assert ask("/api/notes/u2", "u1.customer").status_code == 404
    assert ask("/api/notes", "u1.customer").status_code == 403
    assert issuer.asked == []


@pytest.mark.parametrize("path", ["/api/notes", "/api/notes/u1"])
def test_right_of_an_administrator_is_asked_for_once(issuer: Issuer, path: str) -> None:
    assert ask(path, "a1.admin").status_code == 200
    (query,) = issuer.asked
    assert (query.user_id, query.session_id, query.credentials_version) == ("a1", "s1", 4)
    ask(path, "a1.admin")
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    ("answer", "status_of_list", "status_of_object"),
    [(lambda: None, 401, 401), (lambda: "customer", 403, 404), (down, 503, 503)],
    ids=["refused", "demoted", "issuer away"],
)
def test_lost_right_is_not_used(issuer: Issuer, answer: Answer, status_of_list: int, status_of_object: int) -> None:
    issuer.answer = answer
    assert ask("/api/notes", "a1.admin").status_code == status_of_list
    assert ask("/api/notes/u1", "a1.admin").status_code == status_of_object
    assert ask("/api/notes/a1", "a1.admin").status_code == 200


def of_release_0_2_0() -> str:
    raise NotServed("users responded 404 Not found")


def test_token_decides_while_every_issuer_is_of_release_0_2_0(issuer: Issuer) -> None:
    issuer.answer = of_release_0_2_0
    assert ask("/api/notes", "a1.admin").status_code == 200
    assert ask("/api/notes", "u1.customer").status_code == 403
    assert ask("/api/notes/u1", "u2.customer").status_code == 404


def test_issuer_of_the_tokens_reads_the_account_at_every_request() -> None:
    issuer = Issuer(lambda: "customer")
    access = Access(Tokens(), AccessQuery, issuer.get_role)
    assert ask("/api/notes/u1", "u1.customer", access).status_code == 200
    assert ask("/api/notes", "a1.admin", access).status_code == 403
    assert len(issuer.asked) == 2
    issuer.answer = lambda: None
    refused = ask("/api/notes/u1", "u1.customer", access)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_expired_tokens_of_one_address_keep_nobody_there_from_refreshing() -> None:
    app = Client(make_app("notes", [api], {}, Access(Tokens()), ServiceTokens("notes", "s" * 32)))
    behind_one_address = {"REMOTE_ADDR": "192.0.2.81"}

    def post(path: str, token: str = "") -> TestResponse:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return app.post(path, headers=headers, environ_base=behind_one_address)

    assert [post("/api/notes", "expired").status_code for _ in range(101)] == [401] * 100 + [429]
    refreshed = post("/api/refresh")
    assert (refreshed.status_code, refreshed.headers["RateLimit"].partition(";t=")[0]) == (200, '"anonymous";r=99')
    assert post("/api/notes", "u1.customer").status_code == 200


def test_request_is_refused_while_revocations_cannot_be_read(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_new(known: KnownRevocations) -> float:
        raise TransientError("the store is away")

    monkeypatch.setattr(KnownRevocations, "read_new", read_new)
    access = Access(Tokens(), revocations=KnownRevocations())
    assert ask("/api/notes/u1", "u1.customer", access).status_code == 503


def test_caller_above_the_limit_is_refused_before_the_account_is_read() -> None:
    issuer = Issuer(lambda: "customer")
    app = Client(
        make_app("notes", [api], {}, Access(Tokens(), AccessQuery, issuer.get_role), ServiceTokens("notes", "s" * 32))
    )

    def post(token: str) -> TestResponse:
        return app.post("/api/notes", headers={"Authorization": f"Bearer {token}"})

    allowed, _ = limits.parse(settings().rate_user)
    assert [post("flood.customer").status_code for _ in range(allowed + 1)] == [200] * allowed + [429]
    issuer.asked.clear()
    refused = post("flood.customer")
    assert (refused.status_code, refused.headers["RateLimit"].partition(";t=")[0]) == (429, '"user";r=0')
    assert int(refused.headers["Retry-After"]) >= 1
    assert issuer.asked == []
    assert post("other.customer").status_code == 200


def test_revoked_token_uses_up_no_limit_of_its_user() -> None:
    issuer = Issuer(lambda: None)
    access = Access(Tokens(), AccessQuery, issuer.get_role)
    app = Client(make_app("notes", [api], {}, access, ServiceTokens("notes", "s" * 32)))
    headers = {"Authorization": "Bearer victim.customer"}
    assert app.post("/api/notes", headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.82"}).status_code == 401
    issuer.answer = lambda: "customer"
    first = app.post("/api/notes", headers=headers)
    allowed, _ = limits.parse(settings().rate_user)
    assert first.headers["RateLimit"].partition(";t=")[0] == f'"user";r={allowed - 1}'
