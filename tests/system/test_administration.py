"""Administration of accounts by routes and by `mercato user`, the second factor, and the export of a person's data."""

import json

import pyotp
import pytest

from chassis import clock
from mercato.catalog import catalog
from tests.dump import read_store
from tests.personal_data import INTERNAL, NOT_EXPORTED
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem

pytestmark = pytest.mark.any_engine


@pytest.fixture
def second(shop: Shop, admin: Client) -> Client:
    """Return another administrator, of this test only."""
    person = shop.shopper()
    expect(admin.post(f"/api/users/{person.id}/role", {"role": "admin"}), 200)
    return person.sign_in(person.email, PASSWORD)


def app_of(client: Client) -> tuple[pyotp.TOTP, list[str]]:
    """Enroll an administrator; return the authenticator app and the recovery codes."""
    offer = expect(client.post("/api/users/me/second-factor", {"currentPassword": PASSWORD}), 201)
    app = pyotp.TOTP(offer["secret"])
    path = "/api/users/me/second-factor/confirm"
    return app, expect(client.post(path, {"code": app.now()}), 200)["recoveryCodes"]


def test_administrator_finds_a_user_by_any_spelling_of_the_address(shop: Shop, admin: Client) -> None:
    user = shop.shopper(email=f"{clock.new_id().lower()}@bücher.example")
    local = user.email.partition("@")[0]
    for spelling in (user.email, f"{local.upper()}@xn--bcher-kva.example"):
        found = expect(admin.get("/api/users", params={"email": spelling}), 200)
        assert [each["id"] for each in found["items"]] == [user.id]
    assert admin.items("/api/users?email=nobody@shop.example") == []
    problem(user.get("/api/users", params={"email": user.email}), 403)


def test_locked_user_is_out_until_unlocked(admin: Client, buyer: Client) -> None:
    assert expect(admin.post(f"/api/users/{buyer.id}/lock"), 200)["locked"] is True
    problem(buyer.get("/api/users/me"), 401)
    problem(buyer.post("/api/auth/refresh", {"refreshToken": buyer.refresh_token}), 401)
    right, wrong = ({"email": buyer.email, "password": each} for each in (PASSWORD, "not this one"))
    assert problem(buyer.request("POST", "/api/auth/login", right), 403)["type"] == "/problems/account-locked"
    assert problem(buyer.request("POST", "/api/auth/login", wrong), 401)["title"] == "Unauthorized"
    assert expect(admin.post(f"/api/users/{buyer.id}/unlock"), 200)["locked"] is False
    buyer.sign_in(buyer.email, PASSWORD)


def test_demoted_administrator_has_lost_the_right_at_once(admin: Client, second: Client) -> None:
    expect(second.get("/api/users"), 200)
    token = second.token
    assert expect(admin.post(f"/api/users/{second.id}/role", {"role": "customer"}), 200)["role"] == "customer"
    second.token = token
    for path in ("/api/users", "/api/inventory/p1"):
        problem(second.get(path), 401)
    second.token = ""
    second.sign_in(second.email, PASSWORD)
    problem(second.post(f"/api/users/{second.id}/role", {"role": "admin"}), 403)


def test_administrator_ends_all_sessions_of_a_user(admin: Client, buyer: Client) -> None:
    expect(admin.delete(f"/api/users/{buyer.id}/sessions"), 204)
    problem(buyer.get("/api/users/me"), 401)
    problem(buyer.post("/api/auth/refresh", {"refreshToken": buyer.refresh_token}), 401)


def test_operator_promotes_and_resets_an_account_of_the_running_platform(shop: Shop, buyer: Client) -> None:
    assert shop.mercato("user", "promote", buyer.email).returncode == 0
    problem(buyer.get("/api/users/me"), 401)
    buyer.token = ""
    buyer.sign_in(buyer.email, PASSWORD)
    expect(buyer.get("/api/users"), 200)

    token = shop.mercato("user", "reset", buyer.id).stdout.strip().partition("#")[2]
    problem(buyer.get("/api/users"), 401)
    buyer.token = ""
    problem(buyer.post("/api/auth/login", {"email": buyer.email, "password": PASSWORD}), 401)
    expect(buyer.post("/api/auth/resets/confirm", {"token": token, "password": "another horse battery"}), 204)
    problem(buyer.post("/api/auth/resets/confirm", {"token": token, "password": PASSWORD}), 410)
    buyer.sign_in(buyer.email, "another horse battery")
    assert shop.mercato("user", "demote", buyer.id).returncode == 0


def test_administrator_with_a_second_factor_needs_a_code(second: Client) -> None:
    app, codes = app_of(second)
    problem(second.get("/api/users/me"), 401)
    second.token = ""
    credentials = {"email": second.email, "password": PASSWORD}
    for code in ({}, {"code": app.now()}, {"code": "000000"}):
        refused = problem(second.post("/api/auth/login", {**credentials, **code}), 401)
        assert refused["type"] == "/problems/second-factor-required"
    wrong = problem(second.post("/api/auth/login", {**credentials, "password": "not this one", "code": codes[0]}), 401)
    assert wrong["type"] != "/problems/second-factor-required", "only after a right password"
    second.token = expect(second.post("/api/auth/login", {**credentials, "code": codes[0]}), 200)["accessToken"]
    shown = expect(second.get("/api/users/me/second-factor"), 200)
    assert shown == {"enabled": True, "required": False, "recoveryCodesLeft": len(codes) - 1}
    removal = {"currentPassword": PASSWORD, "code": codes[0]}
    problem(second.delete("/api/users/me/second-factor", json=removal), 403)
    expect(second.delete("/api/users/me/second-factor", json={**removal, "code": codes[1]}), 204)
    second.token = ""
    second.sign_in(second.email, PASSWORD)


def test_enrolling_needs_the_own_password_and_the_role(second: Client, buyer: Client) -> None:
    for body in ({"currentPassword": "not this one"}, {"currentPassword": ""}):
        refused = problem(second.post("/api/users/me/second-factor", body), 403)
        assert refused["type"] == "/problems/reauthentication-required"
    problem(buyer.post("/api/users/me/second-factor", {"currentPassword": PASSWORD}), 403)


def test_export_holds_everything_that_a_service_keeps_of_a_person(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product())
    problem(buyer.order(shop.product(), paymentToken="tok_declined"), 402)
    eventually(lambda: len(buyer.items("/api/notifications")) == 3)
    export = expect(buyer.get("/api/users/me/export"), 200)
    found = export["services"]
    assert export["userId"] == buyer.id
    assert found["users"]["accounts"][0]["email"] == buyer.email
    assert order["id"] in [each["id"] for each in found["orders"]["summaries"]]
    assert order["id"] in [each["orderId"] for each in found["payments"]["payments"]]
    recipient = {"id": buyer.id, "email": buyer.email, "language": "en", "marketing": False}
    assert found["notifications"]["recipients"] == [recipient]
    assert len(found["notifications"]["notifications"]) == 3
    text = json.dumps(export)
    for secret in ("argon2", buyer.refresh_token.partition(".")[2], "tok_declined", "outbox", "dedupKey"):
        assert secret not in text

    stores = {service: read_store(shop.place, service).stores[service] for service in catalog()}
    named = {
        (service, collection)
        for service, collections in stores.items()
        for collection, docs in collections.items()
        if any(buyer.id in json.dumps(doc) or buyer.email in json.dumps(doc) for doc in docs.values())
    }
    exported = {(service, collection) for service, collections in found.items() for collection in collections}
    assert {each for each in named - exported if each[1] not in NOT_EXPORTED} == set()
    for service, collection in exported:
        kept = {each["id"]: stores[service][collection][each["id"]] for each in found[service][collection]}
        left_out = {field for each in found[service][collection] for field in kept[each["id"]].keys() - each.keys()}
        assert left_out <= INTERNAL, f"{service}.{collection}: export them, or say why not"


def test_export_is_complete_or_refused(shop: Shop, buyer: Client) -> None:
    with shop.frozen("notifications"):
        refused = buyer.get("/api/users/me/export")
        problem(refused, 503)
        assert buyer.email not in refused.text and "Retry-After" in refused.headers
    eventually(lambda: buyer.get("/api/users/me/export").status_code == 200)


def test_export_is_for_its_owner_alone(shop: Shop, guest: Client, buyer: Client) -> None:
    other = shop.shopper()
    problem(guest.get("/api/users/me/export"), 401)
    assert buyer.email not in other.get("/api/users/me/export").text
