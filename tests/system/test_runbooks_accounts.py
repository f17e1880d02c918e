"""The commands of docs/operations that are about accounts, keys and data, run against what their page is for."""

from pathlib import Path
from typing import Any

import pytest

from chassis import clock
from tests.system.platform import Client, Shop, eventually, expect
from tests.system.runbook import Commands, Runbook, database, set_field
from tests.system.running import Platform

pytestmark = pytest.mark.embedded  # the faults are made in the files of the stores


def test_accounts_under_attack(shop: Shop, on: Any) -> None:
    buyer = shop.shopper()
    for _ in range(3):
        expect(buyer.post("/api/auth/login", {"email": buyer.email, "password": "wrong and wrong"}), 401)
    page = on("sign-in-failures", USER=buyer.email)
    searched = (
        "kubectl -n mercato logs deployment/users --since 10m | grep sign_in_failed"
        """ | grep -o '"userId":"[^"]*"' | sort | uniq -c | sort -n"""
    )
    assert f'3 "userId":"{buyer.id}"' in page.run(searched)
    assert buyer.id in page.run("kubectl -n mercato exec deployment/users -- mercato user show USER")
    used = {"refreshToken": buyer.refresh_token}
    expect(buyer.post("/api/auth/refresh", used), 200)
    for family in shop.documents("users", "refresh_token_families"):
        if family["userId"] == buyer.id:
            set_field(shop, "users", "refresh_token_families", family["_id"], rotatedAt=clock.timestamp_ago(60))
    expect(buyer.post("/api/auth/refresh", used), 401)
    page = on("refresh-token-reused", USER=buyer.id[:20])
    assert buyer.id in page.run("kubectl -n mercato logs deployment/users --since 1h | grep refresh_token_reused")
    assert buyer.email in page.run("kubectl -n mercato exec deployment/users -- mercato user show USER")
    page.run("kubectl -n mercato exec deployment/users -- mercato user sessions USER")
    assert "the password is reset" in page.run("mercato user reset USER")
    assert "locked" in page.run("mercato user lock USER")
    page.run("mercato user reset USER", code=3)
    buyer = shop.shopper()
    assert "the password is reset" in on("sign-in-failures", USER=buyer.email).run("mercato user reset USER")


def test_accounts(shop: Shop, on: Any) -> None:
    buyer, address = shop.shopper(), f"{clock.new_id().lower()}@example.com"
    page = on("accounts", USER=buyer.id, ADDRESS=buyer.email)
    assert buyer.id in page.run("kubectl --namespace mercato exec deployment/users -- mercato user list")
    assert buyer.id in page.run("mercato user list") and buyer.email in page.run("mercato user show USER")
    assert "is an administrator" in page.run("mercato user promote USER")
    assert "is a customer" in page.run("mercato user demote USER")
    assert "is an administrator" in page.run("mercato user promote ADDRESS")
    assert "locked" in page.run("mercato user lock USER") and "sign in" not in page.run("mercato user unlock USER")
    page.run("mercato user sessions USER")
    assert "all sessions ended" in page.run("mercato user end-sessions USER")
    assert "password is reset" in page.run("mercato user reset USER")
    assert "has no second factor" in page.run("mercato user remove-second-factor USER")
    on("accounts", ADDRESS=address).run("mercato user create --email ADDRESS", code=3)  # no password on standard input
    assert "is a customer" in page.run("mercato user demote USER")


def test_keys_and_audit(shop: Shop, buyer: Client, on: Any) -> None:
    order = buyer.buy(shop.product())["id"]
    page = on("secrets")
    assert '"pid"' in page.run("mercato status --json")
    assert "It signs from" in page.run("mercato keys rotate")
    page.run("kubectl --namespace mercato exec deploy/users-worker -- mercato keys rotate")
    eventually(lambda: not [each for each in shop.documents("orders", "sagas") if each["open"]])
    page = on("audit")
    for text in ("mercato audit", "mercato audit orders payments", "mercato audit --json"):
        assert "orders" in page.run(text)
    reconcile = "kubectl -n mercato exec deploy/payments -- mercato reconcile payments --since 3d"
    assert "0 findings" in on("payments").run(reconcile)
    with database(shop, "orders") as db:
        db.execute("UPDATE summaries SET doc = json_set(doc, '$.status', 'rejected') WHERE id = ?", (order,))
    assert order in page.run("mercato replay orders", code=1)
    assert on("README").run("mercato replay orders") == "Differences, now repaired: none\n"


def test_keys_that_leaked(tmp_path: Path, mercato: Commands) -> None:
    """On a store alone: a running platform would refuse the tokens of other tests."""
    users = Platform(tmp_path)
    text = "mercato keys rotate --emergency"
    assert "All former keys are dropped" in Runbook("refresh-token-reused", users, mercato).run(text)
    page = Runbook("secrets", users, mercato)
    page.run("kubectl --namespace mercato exec deploy/users-worker -- mercato keys rotate --emergency")


def test_a_platform_whose_mails_arrive_logs_none_that_do_not(on: Any) -> None:
    search = 'kubectl -n mercato logs deployment/notifications-worker --since 15m | grep "mail "'
    assert on("mail-not-sent").run(search, code=1) == ""


def test_questions_of_an_operator(shop: Shop, buyer: Client, on: Any) -> None:
    order = buyer.buy(shop.product())["id"]
    page = on("commands", ORDER=order, USER=buyer.email)
    assert all("Usage: mercato" in page.run(text) for text in ("mercato --help", "mercato sagas --help"))
    assert "Mercato at" in page.run("mercato status")
    assert "Sagas" in page.run("mercato sagas list --older-than 5m") and order in page.run("mercato sagas show ORDER")
    assert all(page.run(text) for text in ("mercato outbox", "mercato dlq list", "mercato audit"))
    assert buyer.id in page.run("mercato user show USER")
