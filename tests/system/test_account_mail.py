"""Mails about accounts: verification, change of address and reset over SMTP; and no secret anywhere."""

import re
from collections.abc import Iterator

import pytest

from chassis import clock
from tests.system.collector import Collector
from tests.system.mail_server import MailServer
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem

pytestmark = pytest.mark.any_engine


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found


@pytest.fixture(scope="module")
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture(scope="module")
def mail_shop(
    mail_server: MailServer, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A platform that sends mail, and lets only verified accounts order."""
    settings = {
        "SMTP_URL": mail_server.url,
        "UNVERIFIED_ORDERS": "off",
        "RATE_LIMITS": "off",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    platform = Shop(tmp_path_factory.mktemp("mail"), **settings)
    try:
        yield platform.up()
    finally:
        platform.down()


def new_address() -> str:
    return f"{clock.new_id().lower()}@example.com"


def confirm(client: Client, token: str) -> None:
    expect(client.post("/api/auth/verifications/confirm", {"token": token}), 204)


def reset(client: Client, token: str, password: str) -> None:
    expect(client.post("/api/auth/resets/confirm", {"token": token, "password": password}), 204)


def test_an_unverified_account_orders_once_its_address_is_confirmed(mail_shop: Shop, mail_server: MailServer) -> None:
    product, buyer = mail_shop.product(), mail_shop.shopper()
    assert buyer.account["verified"] is False
    refused = problem(buyer.order(product), 403)
    assert refused["type"] == "/problems/buyer-unverified"
    first = mail_server.wait_for(buyer.email, "/verify#").token
    expect(buyer.post("/api/auth/verifications", {"email": buyer.email}), 202)
    second = mail_server.wait_for(buyer.email, "/verify#").token
    confirm(buyer, second)
    assert problem(buyer.post("/api/auth/verifications/confirm", {"token": first}), 410)
    assert expect(buyer.get("/api/users/me"), 200)["verified"] is True
    buyer.buy(product)
    assert mail_shop.stock(product) == (9, 0, 1)


def test_a_new_address_counts_once_confirmed_and_the_former_is_told(mail_shop: Shop, mail_server: MailServer) -> None:
    buyer, new = mail_shop.shopper(), new_address()
    former = buyer.email
    assert expect(buyer.change_credentials(email=new), 200)["email"] == former
    mail_server.wait_for(former, "about to change")
    token = mail_server.wait_for(new, "/verify#").token
    expect(buyer.get("/api/users/me"), 200)
    confirm(mail_shop.guest(), token)
    mail_server.wait_for(former, "has changed")
    problem(buyer.post("/api/auth/login", {"email": former, "password": PASSWORD}), 401)
    assert buyer.sign_in(new, PASSWORD).account["verified"] is True
    buyer.buy(mail_shop.product())
    eventually(lambda: mail_server.to(new, "order is confirmed"))


def test_a_response_does_not_tell_whether_an_account_exists(mail_shop: Shop, mail_server: MailServer) -> None:
    buyer, unknown = mail_shop.shopper(), new_address()
    for route in ("verifications", "resets"):
        responses = [
            buyer.post(f"/api/auth/{route}", {"email": email})
            for email in (buyer.email, unknown, "no address", f"{'x' * 60}@example.com")
        ]
        assert {(response.status_code, response.content) for response in responses} == {(202, b"")}
        assert len({frozenset(response.headers) for response in responses}) == 1
    mail_server.wait_for(buyer.email, "/reset#")
    assert mail_server.to(unknown) == []


@pytest.mark.embedded
def test_no_secret_of_any_account_flow_is_stored_logged_or_traced(
    mail_shop: Shop, mail_server: MailServer, collector: Collector
) -> None:
    guest, new = mail_shop.guest(), new_address()
    chosen = [f"secret {clock.new_id().lower()}" for _ in range(5)]
    secrets = list(chosen)

    buyer = mail_shop.shopper(password=chosen[0])
    former = buyer.email
    secrets.append(mail_server.wait_for(former, "/verify#").token)
    confirm(guest, secrets[-1])
    secrets += [buyer.token, buyer.refresh_token]
    renewed = expect(guest.post("/api/auth/refresh", {"refreshToken": buyer.refresh_token}, key=clock.new_id()), 200)
    secrets += [renewed["accessToken"], renewed["refreshToken"]]
    expect(buyer.put(f"/api/users/{buyer.id}", {"password": chosen[1], "currentPassword": chosen[0]}), 200)
    problem(guest.post("/api/auth/login", {"email": former, "password": chosen[2]}), 401)
    buyer.sign_in(former, chosen[1])
    expect(buyer.change_credentials(email=new), 200)
    secrets.append(mail_server.wait_for(new, "/verify#").token)
    confirm(guest, secrets[-1])
    expect(guest.post("/api/auth/resets", {"email": new}), 202)
    secrets.append(mail_server.wait_for(new, "/reset#").token)
    reset(guest, secrets[-1], chosen[3])
    problem(guest.post("/api/auth/resets/confirm", {"token": secrets[-1], "password": chosen[4]}), 410)
    expect(guest.post("/api/auth/resets", {"email": new}), 202)
    unused = mail_server.wait_for(new, "/reset#").token
    secrets.append(unused)
    buyer.sign_in(new, chosen[3])
    secrets += [buyer.token, buyer.refresh_token]
    secrets += [token.partition(".")[2] for token in secrets if re.fullmatch(r"[0-9A-Z]{26}\.\S+", token)]

    eventually(lambda: places_with(mail_shop, secrets) == [])
    expect(buyer.erase(), 204)
    problem(guest.post("/api/auth/resets/confirm", {"token": unused, "password": chosen[4]}), 410)
    eventually(lambda: places_with(mail_shop, [*secrets, former, new]) == [])
    assert not any(secret.encode() in collector.raw for secret in [*secrets, former, new])
    assert any("send-account-mail" in span.name for span in collector.spans)


def places_with(shop: Shop, secrets: list[str]) -> list[str]:
    """Return the files of DATA_DIR that contain one of these texts; the bus may hold addresses, for seven days."""
    found = []
    for path in shop.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            wanted = [each for each in secrets if not (path.name.startswith("bus.db") and "@" in each)]
            found += [path.name for each in wanted if each.encode() in content]
    return found
