"""Tokens: every invalid one gets the same response, and internal commands need a service token."""

import base64
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from chassis import clock
from chassis.messages import ANY_SERVICE, Command
from mercato.catalog import catalog
from tests.system.platform import Client, Shop, eventually, expect, problem

pytestmark = pytest.mark.any_engine
HEADER = {"alg": "Ed25519", "typ": "at+jwt"}
COMMANDS: list[type[Command]] = [
    command for name in catalog() for command in import_module(f"services.{name}.service").service.commands
]


def claims(user: str, **changed: Any) -> dict[str, Any]:
    """Return the claims of a valid token for this user; None removes a claim."""
    now = int(clock.now().timestamp())
    good = {"iss": "mercato", "aud": "mercato", "sub": user, "role": "customer", "iat": now, "exp": now + 600}
    return {name: value for name, value in (good | changed).items() if value is not None}


def encode(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


@pytest.fixture(scope="module")
def signing(shop: Shop) -> OKPKey:
    """The key that signs now, from the store of `users`; others may be published already."""
    (doc,) = shop.documents("users", "signing_keys")
    signing = [key for key in doc["keys"] if key["since"] <= clock.timestamp()]
    return OKPKey.import_key(signing[-1]["private"])


@pytest.fixture(scope="module")
def user(shop: Shop) -> str:
    return shop.shopper().id


def sign(key: OKPKey, content: dict[str, Any], **header: Any) -> str:
    return jwt.encode({**HEADER, "kid": key.kid, **header}, content, key, algorithms=["Ed25519", "EdDSA"])


def invalid_tokens(shop: Shop, key: OKPKey, user: str) -> dict[str, str]:
    """Return invalid tokens, by what is wrong with them."""
    good = sign(key, claims(user))
    head, payload, signature = good.split(".")
    now = int(clock.now().timestamp())
    public = json.dumps(key.as_dict(private=False)).encode()
    stranger = OKPKey.generate_key("Ed25519", parameters={"kid": str(key.kid)}, private=True)
    unknown = OKPKey.generate_key("Ed25519", parameters={"kid": "another"}, private=True)
    secret = OctKey.import_key((shop.data / "secret").read_text())
    return {
        "empty": "",
        "garbage": "garbage",
        "three dots": "...",
        "not ascii": "\u00e9.\u00e9.\u00e9",
        "too long": "x" * 7000,
        "header is a list": f"{base64.urlsafe_b64encode(b'[]').decode()}.{payload}.{signature}",
        "no algorithm": f"{encode({**HEADER, 'alg': 'none', 'kid': key.kid})}.{payload}.",
        "no signature": f"{head}.{payload}.",
        "another's claims": f"{head}.{encode(claims('someone'))}.{signature}",
        "a raised role": f"{head}.{encode(claims(user, role='admin'))}.{signature}",
        "HS256 with the public key": jwt.encode(
            {**HEADER, "alg": "HS256", "kid": key.kid}, claims(user), OctKey.import_key(public), algorithms=["HS256"]
        ),
        "a service's token": jwt.encode(
            {"alg": "HS256", "typ": "service+jwt"}, {"iss": "orders", "aud": "payments", "exp": now + 60}, secret
        ),
        "another's key": sign(stranger, claims(user)),
        "an unknown key": sign(unknown, claims(user)),
        "a hostile key name": sign(key, claims(user), kid="../../../dev/null"),
        "a key name that is no text": f"{encode({**HEADER, 'kid': {'$gt': ''}})}.{payload}.{signature}",
        "a key of its own": sign(stranger, claims(user), jwk=stranger.as_dict(private=False)),
        "a key address": sign(key, claims(user), jku="http://127.0.0.1:9/keys"),
        "another type": sign(key, claims(user), typ="JWT"),
        "expired": sign(key, claims(user, exp=now - 60)),
        "without end": sign(key, claims(user, exp=None)),
        "not yet valid": sign(key, claims(user, nbf=now + 600)),
        "another issuer": sign(key, claims(user, iss="elsewhere")),
        "for another": sign(key, claims(user, aud="elsewhere")),
        "of nobody": sign(key, claims(user, sub=None)),
        "of an unknown role": sign(key, claims(user, role="root")),
    }


def test_a_valid_handmade_token_is_accepted(shop: Shop, signing: OKPKey, user: str) -> None:
    me = expect(Client(shop.url, sign(signing, claims(user))).get("/api/users/me"), 200)
    assert me["id"] == user


@pytest.mark.parametrize("path", ["/api/users/me", "/api/orders", "/api/payments", "/api/inventory/p"])
def test_every_invalid_token_gets_the_same_401(shop: Shop, signing: OKPKey, user: str, path: str) -> None:
    def response(header: str | None) -> dict[str, Any]:
        headers = {} if header is None else {"Authorization": header.encode()}
        body = problem(client.get(path, headers=headers), 401)
        return {name: value for name, value in body.items() if name != "traceId"}

    client = shop.guest()
    without = response(None)
    for what, token in invalid_tokens(shop, signing, user).items():
        assert response(f"Bearer {token}") == without, what
    assert response(f"Basic {encode({})}") == without
    assert response(sign(signing, claims(user))) == without


def test_a_refresh_token_is_rejected_as_access_token(shop: Shop, buyer: Client) -> None:
    problem(Client(shop.url, buyer.refresh_token).get("/api/users/me"), 401)


def service_token(shop: Shop, caller: str, callee: str, life: int = 60) -> str:
    secret = OctKey.import_key((shop.data / "secret").read_text())
    exp = int(clock.now().timestamp()) + life
    return jwt.encode({"alg": "HS256", "typ": "service+jwt"}, {"iss": caller, "aud": callee, "exp": exp}, secret)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.service}-{command.name}")
def test_a_command_rejects_every_service_but_its_callers(shop: Shop, command: type[Command]) -> None:
    def send(token: str) -> int:
        url = shop.url_of(command.service)
        return Client(url, token).post(f"/internal/{command.name}", {"nonsense": 1}).status_code

    for caller in (*catalog(), "a-stranger"):
        allowed = caller in command.callers or ANY_SERVICE in command.callers
        assert send(service_token(shop, caller, command.service)) in ({200, 422} if allowed else {403}), caller
    for token in (
        service_token(shop, command.callers[0], "another"),
        service_token(shop, command.callers[0], command.service, life=-60),
        shop.admin().token,
        "",
    ):
        assert send(token) == 401


def test_the_next_signing_key_is_published_by_a_command_and_no_token_ends(shop: Shop, buyer: Client) -> None:
    before = published(shop)
    done = shop.mercato("keys", "rotate")
    assert done.returncode == 0, done.stderr
    (stored,) = shop.documents("users", "signing_keys")
    newest = stored["keys"][-1]
    assert newest["since"] > clock.timestamp(), "it does not sign yet"
    eventually(lambda: newest["kid"] in published(shop))
    assert before <= published(shop)
    expect(buyer.get("/api/orders"), 200)
    again = expect(buyer.post("/api/auth/refresh", {"refreshToken": buyer.refresh_token}), 200)
    expect(Client(shop.url, again["accessToken"]).get("/api/orders"), 200)


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_dropped_signing_keys_are_refused_by_every_service(tmp_path: Path) -> None:
    """A real minute: services fetch the keys that often."""
    shop = Shop(tmp_path, RATE_LIMITS="off")
    try:
        buyer = shop.up().shopper()
        paths = ("/api/users/me", "/api/orders", "/api/payments", "/api/notifications")
        assert {buyer.get(path).status_code for path in paths} == {200}
        done = shop.mercato("keys", "rotate", "--emergency")
        assert done.returncode == 0, done.stderr
        eventually(lambda: {buyer.get(path).status_code for path in paths} == {401}, within=90)
        again = expect(buyer.post("/api/auth/refresh", {"refreshToken": buyer.refresh_token}), 200)
        client = Client(shop.url, again["accessToken"])
        eventually(lambda: {client.get(path).status_code for path in paths} == {200})
    finally:
        shop.down()


def published(shop: Shop) -> set[str]:
    return {key["kid"] for key in expect(shop.guest().get("/api/auth/jwks.json"), 200)["keys"]}
