"""What an idempotency record keeps: small successes as they were, no error that changed nothing, and a bounded sum."""

import random
from types import SimpleNamespace
from typing import Literal

import pytest
from werkzeug.test import Client

from chassis.access import AccessQuery
from chassis.calls.tokens import ServiceTokens
from chassis.errors import DomainError, NotFound
from chassis.schema import QueryParams, RequestBody, Schema
from chassis.settings import settings
from chassis.web import idempotency
from chassis.web.access import Access
from chassis.web.api import ADMIN, ANYONE, Api, Response
from chassis.web.app import make_app
from chassis.web.auth import Identity, Verifier
from chassis.web.idempotency import Attempt
from chassis.web.response import WsgiResponse

NOISE = random.Random(1).randbytes(20_000).hex()
"""Text that hardly compresses."""
notes: dict[str, str] = {}


class Note(Schema):
    id: str
    text: str


class NewNote(RequestBody):
    text: str


class Refused(DomainError):
    """The note is refused; with an id, it was made and then rejected."""

    def __init__(self, id: str = "") -> None:
        super().__init__("no", **({"noteId": id} if id else {}))


api = Api()


@api.post("/api/notes", auth=ANYONE, responses={201: Note}, errors=(Refused,))
def create_note(body: NewNote, attempt: Attempt) -> Response:
    if body.text == "refused":
        raise Refused
    if body.text == "rejected":
        raise Refused(attempt.created_id)
    if body.text == "misread":
        notes.setdefault(attempt.created_id, "made")
        Note.read({"id": attempt.created_id})
    notes[attempt.created_id] = body.text * (400 if body.text == "long" else 1)
    location = {"Location": f"/api/notes/{attempt.created_id}"}
    return Response(Note(id=attempt.created_id, text=_text(attempt.created_id)), 201, 1, location)


@api.get("/api/notes/{id}", auth=ANYONE, responses={200: Note})
def get_note(id: str) -> Response:
    if id not in notes:
        raise NotFound("note")
    return Response(Note(id=id, text=_text(id)), version=1)


class Visibility(QueryParams):
    drafts: Literal["any"] | None = None


@api.post("/api/drafts", auth=ADMIN, responses={201: Note})
def create_draft(body: NewNote, attempt: Attempt) -> Response:
    notes[attempt.created_id] = body.text
    location = {"Location": f"/api/drafts/{attempt.created_id}"}
    return Response(Note(id=attempt.created_id, text=_text(attempt.created_id)), 201, 1, location)


@api.get("/api/drafts/{id}", auth=ANYONE, responses={200: Note}, admin_parameters={"drafts": "any"})
def get_draft(id: str, query: Visibility) -> Response:
    if query.drafts != "any":
        raise NotFound("draft")
    return get_note(id)


@api.post("/api/notes/{id}/stamp", auth=ANYONE, responses={200: Note})
def stamp_note(id: str) -> Response:
    return Response(Note(id=id, text=_text(id)), version=1)


def _text(id: str) -> str:
    return NOISE if notes[id] == "large" else notes[id]


@pytest.fixture
def client(store, fake_clock):
    idempotency.records.attach(store).ensure_indexes()
    notes.clear()
    return Client(make_app("notes", [api], {}, Access(Verifier(dict)), ServiceTokens("notes", "s" * 32)))


def post(client, text, key="k1", path="/api/notes", **environment):
    body = {"text": text} if text else None
    return client.post(path, json=body, headers={"Idempotency-Key": key}, environ_base=environment or None)


def administrator():
    verifier = SimpleNamespace(verify=lambda token: Identity("a1", "admin"))
    access = Access(verifier, get_role=lambda query: AccessQuery.Reply(role="admin"))
    app = make_app("notes", [api], {}, access, ServiceTokens("notes", "s" * 32))
    return Client(lambda environ, respond: app({**environ, "HTTP_AUTHORIZATION": "Bearer t"}, respond))


def is_replay(response):
    return response.headers.get("Idempotent-Replayed") == "true"


def run(work, key="k1", caller="u1"):
    return idempotency.run_once(key, caller, "POST /api/orders", "", b"{}", work, pytest.fail)


def sized(size, status=201):
    return lambda attempt: WsgiResponse(NOISE[:size].encode(), status)


def test_a_success_is_replayed_as_it_was_and_stored_compressed(client):
    first, again = (post(client, "long") for _ in range(2))
    assert (first.status_code, is_replay(first), is_replay(again)) == (201, False, True)
    assert (again.status_code, again.data) == (201, first.data)
    assert [again.headers[name] for name in ("Location", "ETag", "Content-Type")] == [
        first.headers[name] for name in ("Location", "ETag", "Content-Type")
    ]
    (record,) = idempotency.records.iterate()
    assert len(first.data) > 1500 > record["bytes"]


def test_a_large_body_is_read_again_by_its_id(client):
    first = post(client, "large")
    id = first.json["id"]
    again = post(client, "large")
    assert (again.status_code, again.data, is_replay(again)) == (201, first.data, True)
    assert again.headers["Location"] == f"/api/notes/{id}"
    notes[id] = "changed"
    assert post(client, "large").json["text"] == "changed"
    (record,) = idempotency.records.iterate()
    assert len(str(record)) < 2000
    del notes[id]
    assert post(client, "large").status_code == 404
    assert notes == {}, "it is not made again"


def test_the_large_body_of_an_action_is_read_again_from_its_object(client):
    notes["n1"] = "large"
    first, again = (post(client, "", path="/api/notes/n1/stamp") for _ in range(2))
    assert (again.status_code, again.data, is_replay(again)) == (200, first.data, True)


def test_an_administrator_reads_again_what_others_do_not_see(client):
    app = administrator()
    first, again = (post(app, "large", path="/api/drafts") for _ in range(2))
    assert (first.status_code, again.status_code, again.data, is_replay(again)) == (201, 201, first.data, True)
    assert app.get(again.headers["Location"]).status_code == 404


def test_an_error_that_changed_nothing_frees_its_key(client):
    assert [post(client, "refused").status_code for _ in range(2)] == [409, 409]
    assert list(idempotency.records.iterate()) == []
    assert not is_replay(post(client, "refused"))
    assert post(client, "another body").status_code == 201
    assert post(client, "refused").status_code == 422


def test_an_error_that_names_what_it_made_is_replayed(client):
    first, again = (post(client, "rejected") for _ in range(2))
    assert (first.status_code, again.status_code, again.data) == (409, 409, first.data)
    assert is_replay(again)
    assert post(client, "another body").status_code == 422


def test_a_handler_that_misreads_what_it_made_keeps_its_key_and_its_id(client):
    """The input was valid: it is a defect, and no 422 after which a client corrects its body under the same key."""
    for _ in range(2):
        assert post(client, "misread").status_code == 500
    assert len(notes) == 1
    (record,) = idempotency.records.iterate()
    assert (record["createdId"], record["fence"]) == (next(iter(notes)), 2)
    assert post(client, "another body").status_code == 422


def test_a_caller_keeps_at_most_two_thousand_records(client, fake_clock, monkeypatch):
    monkeypatch.setattr(idempotency, "MAX_RECORDS", 20)
    statuses = [post(client, "note", f"k{number}").status_code for number in range(22)]
    assert statuses == [201] * 20 + [429] * 2
    assert int(post(client, "note", "k21").headers["Retry-After"]) > 0
    assert is_replay(post(client, "note", "k0")), "a key that is kept still works"
    assert client.post("/api/notes", json={"text": "without key"}).status_code == 201
    assert post(client, "note", REMOTE_ADDR="192.0.2.7").status_code == 201, "another caller"
    fake_clock.pass_time(idempotency.KEPT_S + 1)
    idempotency.delete_expired_records()
    assert post(client, "note", "k21").status_code == 201


def test_a_caller_keeps_at_most_four_megabytes(client, monkeypatch):
    assert (idempotency.MAX_RECORDS, idempotency.MAX_BYTES) == (2000, 4 * 1024 * 1024)
    monkeypatch.setattr(idempotency, "MAX_BYTES", 40_000)
    kept = 0
    with pytest.raises(idempotency.RateLimited):
        while kept < 100:
            run(sized(8000), f"k{kept}")
            kept += 1
    stored = sum(len(str(record)) for record in idempotency.records.iterate())
    assert 4 < kept < 20
    assert stored < 60_000


def test_an_administrator_keeps_more_and_is_asked_for_only_then(client, monkeypatch):
    monkeypatch.setattr(idempotency, "MAX_RECORDS", 2)
    asked = []

    def ship(number):
        is_admin = lambda: asked.append(number) or True  # noqa: E731
        return idempotency.run_once(f"k{number}", "u1", "POST /ship", "", b"{}", sized(10), pytest.fail, is_admin)

    assert [ship(number).status_code for number in range(4)] == [201] * 4
    assert asked == [2, 3]
    app = administrator()
    assert [post(app, "note", f"k{number}", "/api/drafts").status_code for number in range(4)] == [201] * 4
    with pytest.raises(idempotency.RateLimited, match="Keep the key of this request"):
        run(sized(10), "k9")


def test_the_indexes_of_release_0_2_0_stay():
    """Each of its processes drops what it does not declare, and needs these while both releases run."""
    fields = {index.fields for index in idempotency.records.indexes}
    assert fields >= {("expiresAt",), ("caller",), ("subjectId",), ("createdId",)}


def test_records_of_release_0_2_0_lock_nobody_out(client, monkeypatch):
    for number in range(3):
        run(sized(10), f"k{number}")
    for record in idempotency.records.iterate():
        idempotency.records.update(record["_id"], {"$unset": {"bytes": True}})
    monkeypatch.setattr(idempotency, "MAX_RECORDS", 3)
    assert run(sized(10), "k3").status_code == 201


def test_rate_limits_off_turns_the_bound_off(client, monkeypatch):
    monkeypatch.setattr(idempotency, "MAX_RECORDS", 2)
    off = settings().model_copy(update={"rate_limits": "off"})
    monkeypatch.setattr(idempotency, "settings", lambda: off)
    assert [post(client, "note", f"k{number}").status_code for number in range(4)] == [201] * 4


def test_addresses_of_one_ipv6_network_share_a_bound(client, monkeypatch):
    monkeypatch.setattr(idempotency, "MAX_RECORDS", 2)
    addresses = ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:1::1")
    statuses = [post(client, "note", each, REMOTE_ADDR=each).status_code for each in addresses]
    assert statuses == [201, 201, 429, 201]


def test_a_record_of_release_0_2_0_is_replayed(client):
    first = run(sized(100))
    (record,) = idempotency.records.iterate()
    old = {"status": 201, "body": "old", "headers": {"Location": "/api/orders/o1"}}
    idempotency.records.update(record["_id"], {"$set": old, "$unset": {"response": True, "bytes": True}})
    again = run(sized(100))
    assert (first.status_code, again.get_data(), again.headers["Location"]) == (201, b"old", "/api/orders/o1")


def test_a_process_of_release_0_2_0_takes_a_kept_response_for_a_running_request(client):
    """It replays by `status`, and does the work again once `until` has passed."""
    run(sized(100))
    (record,) = idempotency.records.iterate()
    assert record["status"] == 0
    assert record["until"] == record["expiresAt"]
