"""The first administrator: refused before anything starts if weak, made once, and never back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from tests.system.platform import PASSWORD, Shop, expect, problem

pytestmark = pytest.mark.any_engine
ADMIN = "admin@mercato.example"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Shop]:
    """Return a folder in which no platform runs yet."""
    shop = Shop(tmp_path, RATE_LIMITS="off")
    yield shop
    shop.down()


def refused(shop: Shop) -> str:
    """Start the platform, which must fail with nothing left running, and return its last line of output."""
    done = shop.mercato("up", "--detach")
    assert done.returncode == 1 and "ready after" not in done.stdout, done.stdout
    assert not shop.run(), "nothing runs"
    assert not (shop.data / "admin.json").exists()
    return done.stderr.splitlines()[-1]


def test_up_refuses_a_weak_or_invalid_administrator_before_it_starts(empty: Shop) -> None:
    for setting, value in (
        ("ADMIN_PASSWORD", "administrator"),
        ("ADMIN_EMAIL", "nobody"),
    ):
        given = empty.environment | {}
        empty.environment[setting] = value
        assert refused(empty).startswith(f"mercato: the setting {setting}: ")
        empty.environment = given
    assert not [log.name for log in (empty.data / "logs").glob("*.log") if log.name != "up.log"], "no process started"


def test_up_refuses_the_address_of_a_customer_and_says_what_to_do(empty: Shop) -> None:
    made = empty.mercato("user", "create", "--email", ADMIN, "--name", "Ada Byron", stdin=PASSWORD)
    assert made.returncode == 0, made.stderr
    line = refused(empty)
    assert f"A customer has registered {ADMIN}" in line and f"mercato user promote {ADMIN}" in line
    empty.environment |= {"ADMIN_EMAIL": "Boss@Mercato.Example", "SECOND_FACTOR": "required"}
    empty.up()
    assert empty.account[0] == "Boss@mercato.example"
    assert empty.guest().sign_in(ADMIN, PASSWORD).account["role"] == "customer"
    require_enrolling(empty)


def require_enrolling(shop: Shop) -> None:
    """Check that an administrator without the required second factor has its right only after enrolling."""
    boss, (email, password) = shop.admin(), shop.account
    for path in ("/api/users", "/api/inventory/p1"):
        problem(boss.get(path), 403)
    problem(boss.post("/api/products", {"name": "Kettle", "price": "1.00", "stock": 1}), 403)
    shown = expect(boss.get("/api/users/me/second-factor"), 200)
    assert (shown["enabled"], shown["required"]) == (False, True)
    offer = expect(boss.post("/api/users/me/second-factor", {"currentPassword": password}), 201)
    problem(boss.get("/api/users"), 403)
    code = pyotp.TOTP(offer["secret"]).now()
    codes = expect(boss.post("/api/users/me/second-factor/confirm", {"code": code}), 200)["recoveryCodes"]
    boss.token = ""
    tokens = expect(boss.post("/api/auth/login", {"email": email, "password": password, "code": codes[0]}), 200)
    boss.token = tokens["accessToken"]
    expect(boss.get("/api/users"), 200)
    expect(boss.post("/api/products", {"name": "Kettle", "price": "1.00", "stock": 1}), 201)
    for secret in (offer["secret"], *codes, password):
        assert not [path for path in (shop.data / "logs").iterdir() if secret in path.read_text()]
    assert not [path for path in (shop.data / "store").glob("*") if offer["secret"].encode() in path.read_bytes()]


@pytest.mark.timeout(300)
def test_deleted_and_renamed_administrators_do_not_come_back(empty: Shop) -> None:
    leaked = empty.up().account
    first = empty.guest().sign_in(*leaked)
    second = empty.shopper()
    expect(first.post(f"/api/users/{second.id}/role", {"role": "admin"}), 200)
    second.sign_in(second.email, PASSWORD)

    renamed = {"email": "renamed@mercato.example", "currentPassword": leaked[1]}
    expect(first.put(f"/api/users/{first.id}", renamed), 200)
    empty.mercato("down")
    output = empty.mercato("up", "--detach").stdout
    assert "ready after" in output and leaked[1] not in output, "the address has no account anymore"
    assert not (empty.data / "admin.json").exists()
    problem(empty.guest().post("/api/auth/login", {"email": leaked[0], "password": leaked[1]}), 401)

    second.url = empty.url
    second.sign_in(second.email, PASSWORD)
    expect(second.request("DELETE", f"/api/users/{first.id}", {"currentPassword": PASSWORD}), 204)
    made = empty.mercato("user", "first-admin", "--json")
    assert (made.returncode, json.loads(made.stdout)) == (0, {"created": False, "email": ""})
    listed = [json.loads(line) for line in empty.mercato("user", "list", "--json").stdout.splitlines()]
    assert [(each["id"], each["role"]) for each in listed] == [(second.id, "admin")]
    problem(second.request("DELETE", f"/api/users/{second.id}", {"currentPassword": PASSWORD}), 409)
