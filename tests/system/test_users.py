"""`/api/users` and `/api/auth`: accounts and sessions."""

from typing import Any

import pytest

from chassis import clock
from tests.system.platform import PASSWORD, Client, Shop, expect, problem, refused_fields


def person(**fields: Any) -> dict[str, Any]:
    return {"email": f"{clock.new_id().lower()}@example.com", "name": "Grace Hopper", "password": PASSWORD, **fields}


def sign_in(client: Client, email: str, password: str = PASSWORD) -> dict[str, Any]:
    tokens: dict[str, Any] = expect(client.post("/api/auth/login", {"email": email, "password": password}), 200)
    return tokens


def refresh(client: Client, token: str) -> dict[str, Any]:
    tokens: dict[str, Any] = expect(client.post("/api/auth/refresh", {"refreshToken": token}), 200)
    return tokens


def is_signed_out(client: Client, token: str) -> bool:
    return client.post("/api/auth/refresh", {"refreshToken": token}).status_code == 401


def test_sign_up_returns_the_user_without_the_password(guest: Client) -> None:
    wanted = person(age=37)
    user = expect(guest.post("/api/users", wanted), 201)
    assert user.keys() == {
        *("id", "email", "name", "age", "language", "marketing", "role", "locked", "verified"),
        *("createdAt", "updatedAt"),
    }
    assert {name: user[name] for name in ("email", "name", "age")} == {n: wanted[n] for n in ("email", "name", "age")}
    assert user["role"] == "customer"


def test_all_spellings_of_an_address_share_one_account(guest: Client) -> None:
    id = clock.new_id().lower()
    expect(guest.post("/api/users", person(email=f"zo\u00eb{id}@example.com")), 201)
    for twin in (f"zo\u00eb{id}@example.com", f"ZO\u00cb{id}@Example.COM", f"zoe\u0308{id}@example.com"):
        assert problem(guest.post("/api/users", person(email=twin)), 409)["title"] == "Email already exists"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("email", "a@b@c"),
        ("email", {"$gt": ""}),
        ("name", "x"),
        ("name", "x" * 101),
        ("name", "a\u0000b"),
        ("name", "a\u001b[31mb"),
        ("password", "1234567"),
        ("password", "x" * 129),
        ("password", "Password1"),
        ("password", "example.com"),
        ("age", -1),
        ("age", "37"),
        ("age", True),
        ("age", 37.5),
        ("role", "admin"),
        ("id", "mine"),
    ],
)
def test_an_invalid_sign_up_is_rejected_by_field(guest: Client, field: str, value: Any) -> None:
    assert refused_fields(guest.post("/api/users", person(**{field: value}))) == [field]


def test_a_sign_up_names_every_missing_field(guest: Client) -> None:
    assert refused_fields(guest.post("/api/users", {})) == ["email", "name", "password"]


def test_sign_in_returns_a_pair_of_tokens(guest: Client, buyer: Client) -> None:
    tokens = sign_in(guest, buyer.email)
    assert tokens.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn"}
    assert (tokens["tokenType"], tokens["expiresIn"]) == ("Bearer", 600)


def test_wrong_password_and_unknown_address_get_the_same_401(guest: Client, buyer: Client) -> None:
    responses = [
        problem(guest.post("/api/auth/login", {"email": email, "password": "not the password"}), 401)
        for email in (buyer.email, person()["email"], "no address")
    ]
    for response in responses:
        response.pop("traceId")
    assert responses[0] == responses[1] == responses[2]


def test_refresh_replaces_the_token(guest: Client, buyer: Client) -> None:
    second = refresh(guest, buyer.refresh_token)
    assert second["refreshToken"] != buyer.refresh_token
    third = refresh(guest, second["refreshToken"])
    renewed = Client(guest.url, third["accessToken"])
    assert expect(renewed.get("/api/users/me"), 200)["id"] == buyer.id


def test_a_repeated_refresh_returns_the_same_successor(guest: Client, buyer: Client) -> None:
    first, again = (refresh(guest, buyer.refresh_token)["refreshToken"] for _ in range(2))
    assert first == again
    refresh(guest, first)


def test_reuse_of_a_refresh_token_ends_the_session(guest: Client, buyer: Client) -> None:
    second = refresh(guest, buyer.refresh_token)["refreshToken"]
    third = refresh(guest, second)["refreshToken"]
    problem(guest.post("/api/auth/refresh", {"refreshToken": buyer.refresh_token}), 401)
    assert is_signed_out(guest, third)


def test_sign_out_keeps_the_other_sessions_of_the_user(guest: Client, buyer: Client) -> None:
    other = sign_in(guest, buyer.email)["refreshToken"]
    expect(guest.post("/api/auth/logout", {"refreshToken": buyer.refresh_token}), 204)
    refresh(guest, other)


def test_sign_out_ends_the_session(guest: Client, buyer: Client) -> None:
    expect(guest.post("/api/auth/logout", {"refreshToken": buyer.refresh_token}), 204)
    assert is_signed_out(guest, buyer.refresh_token)


@pytest.mark.parametrize("route", ["refresh", "logout"])
@pytest.mark.parametrize("token", ["", "nothing", "a.b", "a.\u00e9", "." * 200, "01J00000000000000000000000.AAAA"])
def test_a_forged_refresh_token_gets_401(guest: Client, route: str, token: str) -> None:
    problem(guest.post(f"/api/auth/{route}", {"refreshToken": token}), 401)


def test_an_access_token_is_rejected_as_refresh_token(guest: Client, buyer: Client) -> None:
    assert guest.post("/api/auth/refresh", {"refreshToken": buyer.token}).status_code in (401, 422)


def test_jwks_contains_only_public_keys(guest: Client) -> None:
    keys = expect(guest.get("/api/auth/jwks.json"), 200)["keys"]
    assert keys
    assert all(key["kty"] == "OKP" and "d" not in key for key in keys)


def test_only_the_user_and_the_administrator_see_a_user(shop: Shop, admin: Client, buyer: Client) -> None:
    path = f"/api/users/{buyer.id}"
    assert expect(buyer.get("/api/users/me"), 200) == expect(buyer.get(path), 200) == expect(admin.get(path), 200)
    stranger = shop.shopper()
    problem(stranger.get(path), 404)
    problem(stranger.put(path, {"name": "Mallory"}), 404)
    problem(stranger.delete(path), 404)


def test_the_administrator_lists_all_users(admin: Client, buyer: Client) -> None:
    listed = admin.items("/api/users", limit=7)
    ids = [user["id"] for user in listed]
    assert buyer.id in ids
    assert len(ids) == len(set(ids))


def test_a_change_keeps_the_fields_it_does_not_name(buyer: Client) -> None:
    changed = expect(buyer.put(f"/api/users/{buyer.id}", {"name": "Ada Lovelace"}), 200)
    assert {**changed, "name": "", "updatedAt": ""} == {**buyer.account, "name": "", "updatedAt": ""}
    assert changed["name"] == "Ada Lovelace"
    aged = expect(buyer.put(f"/api/users/{buyer.id}", {"age": 36}), 200)
    assert (aged["name"], aged["age"]) == ("Ada Lovelace", 36)


def test_the_browser_chooses_the_language_of_a_new_user_who_can_change_it(guest: Client) -> None:
    body = person()
    german = expect(guest.post("/api/users", body, headers={"Accept-Language": "fr, de-AT;q=0.8, en;q=0.5"}), 201)
    assert (german["language"], german["marketing"]) == ("de", False)
    other = expect(guest.post("/api/users", person(), headers={"Accept-Language": "*"}), 201)
    assert other["language"] == "en"
    client = guest.sign_in(body["email"], PASSWORD)
    changed = expect(client.put(f"/api/users/{german['id']}", {"language": "en", "marketing": True}), 200)
    assert (changed["language"], changed["marketing"]) == ("en", True)
    assert refused_fields(client.put(f"/api/users/{german['id']}", {"language": "tlh"})) == ["language"]


def test_a_change_to_a_taken_address_gets_409(shop: Shop, buyer: Client) -> None:
    other = shop.shopper()
    response = buyer.change_credentials(email=other.email.upper())
    assert problem(response, 409)["title"] == "Email already exists"


def test_sign_in_needs_the_new_address_after_a_change(guest: Client, buyer: Client) -> None:
    fresh = person()["email"]
    expect(buyer.change_credentials(email=fresh), 200)
    sign_in(guest, fresh)
    problem(guest.post("/api/auth/login", {"email": buyer.email, "password": PASSWORD}), 401)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", None), ("email", "nowhere"), ("password", "short"), ("age", 1000), ("role", "admin")],
)
def test_an_invalid_change_is_rejected_by_field(buyer: Client, field: str, value: Any) -> None:
    assert refused_fields(buyer.put(f"/api/users/{buyer.id}", {field: value})) == [field]


def test_a_new_password_ends_all_sessions(guest: Client, buyer: Client) -> None:
    other = sign_in(guest, buyer.email)["refreshToken"]
    expect(buyer.change_credentials(password="another secret"), 200)
    assert is_signed_out(guest, buyer.refresh_token)
    assert is_signed_out(guest, other)
    problem(guest.post("/api/auth/login", {"email": buyer.email, "password": PASSWORD}), 401)
    sign_in(guest, buyer.email, "another secret")


def test_an_erased_account_gets_404_and_frees_its_address(guest: Client, admin: Client, buyer: Client) -> None:
    expect(buyer.erase(), 204)
    problem(admin.get(f"/api/users/{buyer.id}"), 404)
    problem(admin.erase(buyer.id), 404)
    problem(buyer.get("/api/users/me"), 401)
    problem(guest.post("/api/auth/login", {"email": buyer.email, "password": PASSWORD}), 401)
    assert is_signed_out(guest, buyer.refresh_token)
    assert buyer.id not in [user["id"] for user in admin.items("/api/users")]
    assert expect(guest.post("/api/users", person(email=buyer.email)), 201)["id"] != buyer.id
