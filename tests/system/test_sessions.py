"""What ends a session, and how soon its access tokens are refused: at once by `users`, within seconds elsewhere."""

from typing import Any

import pytest

from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem

NEW_PASSWORD = "another horse of a shop"
ELSEWHERE = ("/api/orders", "/api/payments", "/api/notifications")
FOR_ADMINISTRATORS = ("/api/users", "/api/orders?userId=someone", "/api/inventory/no-such-product")


def again(client: Client) -> Client:
    """Sign in once more as the same user."""
    return Client(client.url).sign_in(client.email, client.password)


def promote(admin: Client, user: Client) -> Client:
    """Make a user an administrator, and sign in again as one."""
    body = {"role": "admin"}
    assert admin.post(f"/api/users/{user.id}/role", body).ok
    return again(user)


def sessions(client: Client) -> list[dict[str, Any]]:
    return client.items("/api/users/me/sessions")


def refresh(client: Client) -> int:
    return client.post("/api/auth/refresh", {"refreshToken": client.refresh_token}).status_code


def assert_refused_everywhere(client: Client) -> None:
    """By `users` at once, by every other service soon; the refresh token does not help."""
    problem(client.get("/api/users/me"), 401)
    assert refresh(client) == 401
    for path in ELSEWHERE:
        eventually(lambda: client.get(path).status_code == 401)  # noqa: B023  called at once


def test_a_stolen_token_changes_no_credentials(buyer: Client) -> None:
    path = f"/api/users/{buyer.id}"
    for wrong in ({}, {"currentPassword": ""}, {"currentPassword": "not the password"}):
        for change in ({"password": NEW_PASSWORD}, {"email": f"thief-{buyer.email}"}):
            found = problem(buyer.put(path, change | wrong), 403)
            assert found["type"].endswith("/reauthentication-required")
        assert problem(buyer.delete(path, json=wrong), 403)["type"].endswith("/reauthentication-required")
    assert problem(buyer.delete(path), 403)["type"].endswith("/reauthentication-required")
    assert expect(buyer.get(path), 200) == buyer.account
    again(buyer)


@pytest.mark.parametrize("field", ["password", "email"])
def test_new_credentials_end_every_session_also_the_own(buyer: Client, field: str) -> None:
    other = again(buyer)
    value = {"password": NEW_PASSWORD, "email": f"new-{buyer.email}"}[field]
    expect(buyer.change_credentials(**{field: value}), 200)
    for session in (buyer, other):
        assert_refused_everywhere(session)
    changed = {"email": buyer.email, "password": PASSWORD} | {field: value}
    fresh = Client(buyer.url).sign_in(changed["email"], changed["password"])
    for path in ELSEWHERE:
        expect(fresh.get(path), 200)


def test_erased_user_is_refused_everywhere(buyer: Client) -> None:
    expect(buyer.erase(), 204)
    assert_refused_everywhere(buyer)


def test_a_user_lists_and_ends_sessions(shop: Shop, buyer: Client) -> None:
    thief = again(buyer)
    listed = sessions(buyer)
    assert [session["current"] for session in listed] == [False, True]
    assert listed[0].keys() == {"id", "current", "createdAt", "lastUsedAt", "expiresAt"}
    path = f"/api/users/me/sessions/{listed[0]['id']}"
    problem(shop.shopper().delete(path), 404)
    assert refresh(Client(buyer.url)) == 401
    expect(thief.get("/api/users/me"), 200)
    expect(buyer.delete(path), 204)
    assert_refused_everywhere(thief)
    assert [session["id"] for session in sessions(buyer)] == [listed[1]["id"]]
    for own in ELSEWHERE:
        expect(buyer.get(own), 200)


def test_signing_out_ends_the_access_token_too(buyer: Client) -> None:
    other = again(buyer)
    expect(other.post("/api/auth/logout", {"refreshToken": other.refresh_token}), 204)
    assert_refused_everywhere(other)
    expect(buyer.get("/api/users/me"), 200)


def test_owner_is_told_of_a_refresh_token_that_was_used_twice(shop: Shop, buyer: Client) -> None:
    stolen = again(buyer)
    first = stolen.refresh_token
    for _ in range(2):
        tokens = expect(stolen.post("/api/auth/refresh", {"refreshToken": stolen.refresh_token}), 200)
        stolen.token, stolen.refresh_token = tokens["accessToken"], tokens["refreshToken"]
    problem(buyer.post("/api/auth/refresh", {"refreshToken": first}), 401)
    assert_refused_everywhere(stolen)
    eventually(lambda: [text for text in mails_to(shop, buyer) if "ended one of your sessions" in text])
    told = [text for text in mails_to(shop, buyer) if "ended one of your sessions" in text]
    assert len(told) == 1
    assert not any(secret in told[0] for secret in (first, stolen.token, stolen.refresh_token))
    assert [item["kind"] for item in buyer.items("/api/notifications")].count("session_ended") == 1


def mails_to(shop: Shop, user: Client) -> list[str]:
    return [path.read_text() for path in (shop.data / "mail").glob(f"{user.id}.*.eml")]


def test_an_erased_administrator_has_no_right_left(shop: Shop, admin: Client) -> None:
    boss = promote(admin, shop.shopper())
    victim = shop.shopper()
    for path in FOR_ADMINISTRATORS:
        assert boss.get(path).status_code in (200, 404)
    expect(admin.erase(boss.id), 204)
    for path in FOR_ADMINISTRATORS:
        problem(boss.get(path), 401)
    problem(boss.erase(victim.id), 401)
    problem(boss.post("/api/products", {"name": "Cup", "price": "1.00", "stock": 1}), 401)
    expect(victim.get("/api/users/me"), 200)


def test_a_demoted_administrator_has_no_right_left_and_keeps_the_own_objects(shop: Shop, admin: Client) -> None:
    boss = promote(admin, shop.shopper())
    body = {"role": "customer"}
    assert admin.post(f"/api/users/{boss.id}/role", body).ok
    for path in FOR_ADMINISTRATORS:
        problem(boss.get(path), 401)
    fresh = again(boss)
    problem(fresh.get("/api/users"), 403)
    expect(fresh.get("/api/orders"), 200)


@pytest.mark.embedded
def test_the_right_of_an_administrator_needs_users(shop: Shop, admin: Client, buyer: Client) -> None:
    """What needs no such right goes on."""
    product = shop.product()
    with shop.frozen("users"):
        refused = admin.get(f"/api/inventory/{product['id']}")
        problem(refused, 503)
        assert int(refused.headers["Retry-After"]) >= 1
        expect(buyer.get("/api/notifications"), 200)
        expect(buyer.get("/api/payments"), 200)
    eventually(lambda: admin.get(f"/api/inventory/{product['id']}").status_code == 200)
