"""`/api/users` and `/api/auth`, as a shopper and an administrator meet them."""

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


def test_signing_up_answers_the_user_without_the_password(nobody: Client) -> None:
    wanted = person(age=37)
    user = expect(nobody.post("/api/users", wanted), 201)
    assert user.keys() == {"id", "email", "name", "age", "role", "createdAt", "updatedAt"}
    assert {name: user[name] for name in ("email", "name", "age")} == {n: wanted[n] for n in ("email", "name", "age")}
    assert user["role"] == "customer"


def test_an_address_has_one_account_however_it_is_written(nobody: Client) -> None:
    id = clock.new_id().lower()
    expect(nobody.post("/api/users", person(email=f"zo\u00eb{id}@example.com")), 201)
    for twin in (f"zo\u00eb{id}@example.com", f"ZO\u00cb{id}@Example.COM", f"zoe\u0308{id}@example.com"):
        assert problem(nobody.post("/api/users", person(email=twin)), 409)["title"] == "Email already exists"


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
        ("age", -1),
        ("age", "37"),
        ("age", True),
        ("age", 37.5),
        ("role", "admin"),
        ("id", "mine"),
    ],
)
def test_a_sign_up_with_a_bad_field_is_refused_by_its_name(nobody: Client, field: str, value: Any) -> None:
    assert refused_fields(nobody.post("/api/users", person(**{field: value}))) == [field]


def test_a_sign_up_names_every_field_that_is_missing(nobody: Client) -> None:
    assert refused_fields(nobody.post("/api/users", {})) == ["email", "name", "password"]


def test_signing_in_answers_a_pair_of_tokens(nobody: Client, buyer: Client) -> None:
    tokens = sign_in(nobody, buyer.email)
    assert tokens.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn"}
    assert (tokens["tokenType"], tokens["expiresIn"]) == ("Bearer", 600)


def test_a_wrong_password_and_an_unknown_address_are_told_apart_by_nobody(nobody: Client, buyer: Client) -> None:
    answers = [
        problem(nobody.post("/api/auth/login", {"email": email, "password": "not the password"}), 401)
        for email in (buyer.email, person()["email"], "no address")
    ]
    for answer in answers:
        answer.pop("traceId")
    assert answers[0] == answers[1] == answers[2]


def test_a_refresh_token_is_used_up_for_the_next_one(nobody: Client, buyer: Client) -> None:
    second = refresh(nobody, buyer.refresh_token)
    assert second["refreshToken"] != buyer.refresh_token
    third = refresh(nobody, second["refreshToken"])
    renewed = Client(nobody.url, third["accessToken"])
    assert expect(renewed.get("/api/users/me"), 200)["id"] == buyer.id


def test_a_lost_answer_to_a_refresh_is_given_again(nobody: Client, buyer: Client) -> None:
    first, again = (refresh(nobody, buyer.refresh_token)["refreshToken"] for _ in range(2))
    assert first == again
    refresh(nobody, first)


def test_a_refresh_token_used_again_ends_its_whole_family(nobody: Client, buyer: Client) -> None:
    second = refresh(nobody, buyer.refresh_token)["refreshToken"]
    third = refresh(nobody, second)["refreshToken"]
    problem(nobody.post("/api/auth/refresh", {"refreshToken": buyer.refresh_token}), 401)
    assert is_signed_out(nobody, third)


def test_a_family_that_ends_leaves_the_others_of_the_user_alone(nobody: Client, buyer: Client) -> None:
    other = sign_in(nobody, buyer.email)["refreshToken"]
    expect(nobody.post("/api/auth/logout", {"refreshToken": buyer.refresh_token}), 204)
    refresh(nobody, other)


def test_signing_out_uses_the_refresh_token_up(nobody: Client, buyer: Client) -> None:
    expect(nobody.post("/api/auth/logout", {"refreshToken": buyer.refresh_token}), 204)
    assert is_signed_out(nobody, buyer.refresh_token)


@pytest.mark.parametrize("route", ["refresh", "logout"])
@pytest.mark.parametrize("token", ["", "nothing", "a.b", "a.\u00e9", "." * 200, "01J00000000000000000000000.AAAA"])
def test_a_made_up_refresh_token_is_no_token(nobody: Client, route: str, token: str) -> None:
    problem(nobody.post(f"/api/auth/{route}", {"refreshToken": token}), 401)


def test_an_access_token_is_no_refresh_token(nobody: Client, buyer: Client) -> None:
    assert nobody.post("/api/auth/refresh", {"refreshToken": buyer.token}).status_code in (401, 422)


def test_the_published_keys_are_public_ones(nobody: Client) -> None:
    keys = expect(nobody.get("/api/auth/jwks.json"), 200)["keys"]
    assert keys
    assert all(key["kty"] == "OKP" and "d" not in key for key in keys)


def test_a_user_is_seen_by_itself_and_the_administrator_alone(shop: Shop, admin: Client, buyer: Client) -> None:
    path = f"/api/users/{buyer.id}"
    assert expect(buyer.get("/api/users/me"), 200) == expect(buyer.get(path), 200) == expect(admin.get(path), 200)
    stranger = shop.shopper()
    problem(stranger.get(path), 404)
    problem(stranger.put(path, {"name": "Mallory"}), 404)
    problem(stranger.delete(path), 404)


def test_the_administrator_lists_the_users(admin: Client, buyer: Client) -> None:
    listed = admin.items("/api/users", limit=7)
    ids = [user["id"] for user in listed]
    assert buyer.id in ids
    assert len(ids) == len(set(ids))


def test_a_change_touches_the_fields_it_names_alone(buyer: Client) -> None:
    changed = expect(buyer.put(f"/api/users/{buyer.id}", {"name": "Ada Lovelace"}), 200)
    assert {**changed, "name": "", "updatedAt": ""} == {**buyer.account, "name": "", "updatedAt": ""}
    assert changed["name"] == "Ada Lovelace"
    aged = expect(buyer.put(f"/api/users/{buyer.id}", {"age": 36}), 200)
    assert (aged["name"], aged["age"]) == ("Ada Lovelace", 36)


def test_a_change_to_an_address_that_is_taken_is_refused(shop: Shop, buyer: Client) -> None:
    other = shop.shopper()
    answer = buyer.put(f"/api/users/{buyer.id}", {"email": other.email.upper()})
    assert problem(answer, 409)["title"] == "Email already exists"


def test_a_new_address_is_the_one_to_sign_in_with(nobody: Client, buyer: Client) -> None:
    fresh = person()["email"]
    expect(buyer.put(f"/api/users/{buyer.id}", {"email": fresh}), 200)
    sign_in(nobody, fresh)
    problem(nobody.post("/api/auth/login", {"email": buyer.email, "password": PASSWORD}), 401)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", None), ("email", "nowhere"), ("password", "short"), ("age", 1000), ("role", "admin")],
)
def test_a_change_to_a_bad_value_is_refused_by_its_name(buyer: Client, field: str, value: Any) -> None:
    assert refused_fields(buyer.put(f"/api/users/{buyer.id}", {field: value})) == [field]


def test_a_new_password_signs_out_everywhere(nobody: Client, buyer: Client) -> None:
    other = sign_in(nobody, buyer.email)["refreshToken"]
    expect(buyer.put(f"/api/users/{buyer.id}", {"password": "another secret"}), 200)
    assert is_signed_out(nobody, buyer.refresh_token)
    assert is_signed_out(nobody, other)
    problem(nobody.post("/api/auth/login", {"email": buyer.email, "password": PASSWORD}), 401)
    sign_in(nobody, buyer.email, "another secret")


def test_an_erased_account_is_gone_and_its_address_free(nobody: Client, admin: Client, buyer: Client) -> None:
    expect(buyer.delete(f"/api/users/{buyer.id}"), 204)
    problem(admin.get(f"/api/users/{buyer.id}"), 404)
    problem(admin.delete(f"/api/users/{buyer.id}"), 404)
    problem(buyer.get("/api/users/me"), 404)
    problem(nobody.post("/api/auth/login", {"email": buyer.email, "password": PASSWORD}), 401)
    assert is_signed_out(nobody, buyer.refresh_token)
    assert buyer.id not in [user["id"] for user in admin.items("/api/users")]
    assert expect(nobody.post("/api/users", person(email=buyer.email)), 201)["id"] != buyer.id
