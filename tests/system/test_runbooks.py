"""Every command of docs/operations, run against the fault that its page is for."""

import ast
import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chassis import clock
from chassis.bus import Record
from tests.runbooks import Written
from tests.system.platform import Client, Shop, eventually, expect
from tests.system.runbook import COMMANDS, Commands, database, set_field

pytestmark = pytest.mark.embedded  # the faults are made in the files of the stores

COMMAND_LINE = "commands"
"""The page whose table of exit codes tests/system/test_exit_codes.py checks."""
SHOP_RUNS = {"mercato up"}
"""Run by the fixture that starts the platform."""
QUESTIONS = {"mercato status", "mercato outbox", "mercato dlq list", "mercato audit", "mercato --help"}
"""Short commands of the page of the command line that are more than a name in its tables."""
POD_ONLY = {
    "kubectl -n mercato logs POD --previous",
    "kubectl -n mercato logs POD --previous | tail -50",
    "kubectl --namespace mercato logs job/orders-audit-29012345",
}
"""Logs of something that only a cluster has."""


@contextmanager
def locked(shop: Shop, name: str) -> Iterator[None]:
    """Hold the lock of a store, or of the bus, so that nobody else can write there."""
    with database(shop, name) as db:
        eventually(lambda: begun(db))
        yield
        db.execute("ROLLBACK")


def begun(db: sqlite3.Connection) -> bool:
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True


def pid_of(shop: Shop, name: str, kind: str) -> str:
    return str(shop.process(name, kind)["pid"])


def is_ready(shop: Shop, mercato: Commands) -> bool:
    return mercato.run(shop, "status")[0] == 0


def test_frozen_payments(shop: Shop, buyer: Client, mercato: Commands, on: Any) -> None:
    product = shop.product(stock=50)
    with shop.frozen("payments"):
        shoppers = [shop.shopper() for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            placed = [each.json()["id"] for each in pool.map(lambda each: each.order(product), shoppers)]
        old, *others = placed
        set_field(shop, "orders", "sagas", old, openedAt=clock.timestamp_ago(400))
        page = on("saga-old", ORDER=old)
        listed = page.run("mercato sagas list --older-than 5m")
        assert old in listed and not [each for each in others if each in listed]
        assert "1 saga, the oldest open one for 6 min: 1 at take payment; none blocked" in listed
        assert all(each in page.run("mercato sagas list --step 'take payment'") for each in placed)
        assert page.run("mercato sagas list --undoing") == "Sagas: none\n"
        assert '"service": "payments"' in page.run("mercato sagas show ORDER")
        assert old in page.run("kubectl -n mercato exec deployment/orders-worker -- mercato sagas list")
        assert old in page.finds("kubectl -n mercato logs deployment/orders --since 15m | grep ORDER")
        page = on("checkout-budget-burn", ORDER=old)
        assert old in page.run("mercato sagas list") and "take payment" in page.run("mercato sagas show ORDER")
        page = on("orders-undecided")
        assert old in page.run("mercato sagas list") and "payments web" in page.run("mercato status", code=1)
        assert old in page.run("kubectl -n mercato exec deployment/orders-worker -- mercato sagas list")
        page = on("calls-budget-burn", SERVICE="payments")
        assert "circuit open: orders web to payments" in page.run("mercato status", code=1)
        page.run('kubectl -n mercato logs deployment/SERVICE --since 10m | grep \'"level":"error"\'', code=-1)
        page = on("README", ORDER=old)
        assert old in page.run("kubectl --namespace mercato exec deployment/orders-worker -- mercato sagas list")
        assert "take payment" in page.run("mercato sagas show ORDER")
        page = on("audit", ID=old)
        assert old in page.run("mercato sagas list") and "take payment" in page.run("mercato sagas show ID")
        page = on("breaker-open", CALLER="orders", CALLED="payments")
        status = page.run("mercato status", code=1)
        assert "circuit open: orders web to payments" in status
        assert "circuit open for payments" in page.run(
            "kubectl -n mercato logs deployment/CALLER --since 10m | grep circuit"
        )
        page.finds("kubectl -n mercato logs deployment/CALLER-worker --since 10m | grep circuit")
        assert "payments web is stopped by a signal" in status
        eventually(lambda: "at take payment, the oldest for 6 min" in mercato.run(shop, "status")[1])
        assert "payments worker is stopped" in on("consumer-lag").run("mercato status", code=1)
        assert "stopped by a signal" in on("availability-budget-burn").run("mercato status", code=1)
        assert "stopped by a signal" in on("README").run("mercato status", code=1)
        page = on("target-down", PID=pid_of(shop, "payments", "web"))
        assert f"kill -KILL -- -{page.names['PID']}" in page.run("mercato status", code=1)
        page.run("kill -KILL -- -PID")
        eventually(lambda: shop.process("payments", "web")["restarts"])
        on("README", PID=pid_of(shop, "payments", "worker")).run("kill -CONT -- -PID")
    with shop.frozen("notifications"):
        on("target-down", PID=pid_of(shop, "notifications", "web")).run("kill -CONT -- -PID")
        on("README", PID=pid_of(shop, "notifications", "worker")).run("kill -KILL -- -PID")
        eventually(lambda: shop.process("notifications", "worker")["restarts"])
    eventually(lambda: is_ready(shop, mercato))
    restarts = [line.split()[-1] for line in rows_of(on("pod-restarts").run("mercato status"), "payments ", "web ")]
    assert restarts == ["1"]


def test_blocked_saga_and_compensation_that_fails(shop: Shop, buyer: Client, on: Any) -> None:
    with shop.frozen("payments"):
        order = expect(buyer.order(shop.product()), 202)["id"]
        page = on("saga-blocked", ORDER=order[:20], TEXT="'looks like fraud'")
        with database(shop, "orders") as db:
            db.execute("UPDATE sagas SET doc = json_remove(doc, '$.data.currency') WHERE id = ?", (order,))

        def is_blocked() -> bool:
            set_field(shop, "orders", "sagas", order, stepStartedAt=clock.timestamp_ago(90), defects=4)
            return order in page.run("mercato sagas list --blocked")

        eventually(is_blocked)
        assert order in page.run("kubectl -n mercato exec deployment/orders-worker -- mercato sagas list --blocked")
        assert '"blocked": true' in page.run("mercato sagas show ORDER")
        searched = (
            "kubectl -n mercato logs deployment/orders-worker --since 1h | grep -e 'saga blocked' -e 'saga step failed'"
        )
        assert order in page.run(searched)
        page.run("mercato sagas skip ORDER --reason TEXT", code=1)
        assert expect(buyer.get(f"/api/orders/{order}"), 200)["status"] == "pending"
        set_field(shop, "orders", "sagas", order, data__currency="EUR")
        page.run("mercato sagas retry ORDER --reason TEXT")
        page.run("mercato sagas abort ORDER --reason TEXT")
        page = on("compensation-stuck", ORDER=order)
        assert "undo take payment" in page.run("mercato sagas list --undoing")
        page.run("mercato sagas show ORDER")
        page.run("kubectl -n mercato exec deployment/orders-worker -- mercato sagas show ORDER")
        page.run('mercato sagas retry ORDER --reason "the provider is back"')
    final = buyer.final_order(order)
    assert (final["status"], final["reason"]) == ("rejected", "aborted")
    assert "looks like fraud" in page.run("mercato sagas show ORDER")
    timeline = expect(buyer.get(f"/api/orders/{order}/timeline"), 200)["items"]
    assert ("take payment", "aborted", "") in [(each["step"], each["outcome"], each["detail"]) for each in timeline]
    assert "fraud" not in str(timeline), "the buyer gets no reason"
    page.finds("kubectl -n mercato logs deployment/payments --since 15m | grep ORDER")


def test_dead_letters(shop: Shop, on: Any) -> None:
    key = clock.new_id()
    headers = {"ce_specversion": "1.0", "ce_source": "orders", "ce_type": "order.cancelled", "ce_subject": key}
    headers |= {"ce_time": clock.timestamp(), "content-type": "application/json"}
    with closing(shop.bus()) as bus:
        for number in "12":
            numbered = {**headers, "ce_id": f"{key}:{number}", "ce_sequence": number}
            assert bus.publish([Record("orders.events", key, b'{"orderId": 7}', numbered)], timeout_s=5) == [None]
    id = f"orders.events:{key}:1"
    page = on("dead-letters", SERVICE="payments", ID=id, KEY=key)
    eventually(lambda: len(rows_of(page.run("mercato dlq list"), "payments", key)) == 2)
    assert id in page.run("kubectl -n mercato exec deployment/SERVICE-worker -- mercato dlq list")
    assert id in on("README").run("mercato dlq list") and id in on("audit").run("mercato dlq list")
    assert key in page.run("mercato dlq show SERVICE ID")
    searched = (
        "kubectl -n mercato logs deployment/SERVICE-worker"
        " | grep -e 'event parked' -e 'event handler failed' -e 'redrive failed'"
    )
    assert key in page.finds(searched)
    assert "2 dead letters" in page.run("mercato dlq redrive --service SERVICE --key KEY")
    assert "are being handled again" in on("audit").run("mercato dlq redrive")
    assert "dead letters" in on("README", KEY=key).run("mercato dlq redrive --key KEY")
    page.run("mercato dlq discard SERVICE ID --reason 'test event of the load test'")
    assert "test event of the load test" in page.run("mercato dlq list --discarded")
    again = on("README", SERVICE="payments", ID=f"orders.events:{key}:", WHY="tested")  # its id begins so
    assert "is discarded" in again.run("mercato dlq discard SERVICE ID --reason WHY")


def rows_of(table: str, *words: str) -> list[str]:
    return [line for line in table.splitlines() if all(word in line for word in words)]


def test_entry_that_is_set_aside(shop: Shop, on: Any) -> None:
    product = shop.product()["id"]
    eventually(lambda: not [each for each in shop.documents("products", "products") if each["pending"]])
    with database(shop, "products") as db:
        broken = '[{"seq": 2, "type": "product.updated", "time": "2026-11-30T11:00:00.000Z"}]'
        update = "UPDATE products SET doc = json_set(doc, '$.outbox', json(?), '$.pending', 1) WHERE id = ?"
        db.execute(update, (broken, product))
    page = on("set-aside", SERVICE="products")
    eventually(lambda: product in page.run("mercato outbox --set-aside"))
    assert product in page.run("kubectl -n mercato exec deployment/SERVICE-worker -- mercato outbox --set-aside")
    assert product in on("README").run("mercato outbox --set-aside")
    searched = "kubectl -n mercato logs deployment/SERVICE-worker | grep -e 'entry set aside' -e 'entry failed'"
    assert product in page.run(searched)
    assert "setAside" in page.run("mercato outbox")
    with database(shop, "products") as db:
        db.execute(
            "UPDATE products SET doc = json_set(doc, '$.outbox', json('[]'), '$.pending', 0) WHERE id = ?", (product,)
        )
    assert "1 entries" in page.run("mercato outbox --retry --service SERVICE")
    assert "0 entries" in on("README").run("mercato outbox --retry")


def test_bus_and_stores_that_take_no_writes(shop: Shop, buyer: Client, mercato: Commands, on: Any) -> None:
    page = on("outbox-stalled", SERVICE="users")
    with locked(shop, "bus"):
        expect(buyer.put(f"/api/users/{buyer.id}", {"name": "Ada King"}), 200)
        page.finds(
            "kubectl -n mercato logs deployment/SERVICE-worker --since 10m"
            " | grep -e 'relay failed' -e 'not acknowledged'"
        )
        assert pending(page.run("mercato outbox"), "users accounts")
        assert "users" in page.run("kubectl -n mercato exec deployment/SERVICE-worker -- mercato outbox")
        assert "users" in on("README").run("mercato outbox") and "users" in on("audit").run("mercato outbox")
        page.run("mercato status")
        page = on("bus-unavailable", SERVICE="users")
        page.run("mercato status")
        assert pending(page.run("mercato outbox"), "users accounts")
        page.finds(
            "kubectl -n mercato logs deployment/SERVICE-worker --since 10m"
            " | grep -e 'relay failed' -e 'not acknowledged'"
        )
    assert "bus.db" in on("log-lines-lost", SERVICE="users-worker").run(
        "kubectl -n mercato logs deployment/SERVICE --since 10m"
    )
    lagging = on("consumer-lag", SERVICE="notifications")
    with ExitStack() as stack:
        for name in ("notifications", "inventory"):
            stack.enter_context(locked(shop, name))
        expect(buyer.put(f"/api/users/{buyer.id}", {"name": "Ada Lovelace"}), 200)
        lagging.finds(
            "kubectl -n mercato logs deployment/SERVICE-worker --since 10m"
            " | grep -e 'consumer failed' -e 'event handler failed'"
        )
        down = on("store-down", SERVICE="inventory")
        assert "inventory cannot write" in down.run("mercato status", code=1)
        down.finds("kubectl -n mercato logs deployment/SERVICE-worker --since 10m | grep 'StoreUnavailable'")
        overdue = on("reservations-overdue")
        assert "inventory cannot write" in overdue.run("mercato status", code=1)
        overdue.finds(
            "kubectl -n mercato logs deployment/inventory-worker --since 10m"
            " | grep -e 'job failed' -e 'job crashed' -e error"
        )
    eventually(lambda: is_ready(shop, mercato))


def pending(table: str, row: str) -> bool:
    """Whether a table of outboxes has a row that begins so and counts pending events."""
    (found,) = (line.split() for line in table.splitlines() if " ".join(line.split()).startswith(row))
    return int(found[2]) > 0


def test_job_that_crashes_over_and_over(shop: Shop, buyer: Client, mercato: Commands, on: Any) -> None:
    page = on("job-restarts", SERVICE="notifications")
    with database(shop, "notifications") as db:
        db.execute("CREATE TRIGGER defect BEFORE UPDATE ON leases BEGIN SELECT RAISE(ABORT, 'a defect'); END")
        try:
            eventually(lambda: "restarting over and over: relay" in page.run("mercato status", code=-1))
        finally:
            db.execute("DROP TRIGGER defect")
    searched = "kubectl -n mercato logs deployment/SERVICE-worker --since 10m | grep 'worker job crashed'"
    assert "relay" in page.run(searched)
    page = on("availability-budget-burn", SERVICE="notifications-worker")
    assert "crashed" in page.run('kubectl -n mercato logs deployment/SERVICE --since 10m | grep \'"level":"error"\'')
    os.killpg(int(pid_of(shop, "notifications", "worker")), signal.SIGKILL)  # or it is not ready for a minute
    eventually(lambda: is_ready(shop, mercato))


def test_every_command_has_a_test() -> None:
    wanted = {(each.page, each.local) for each in COMMANDS if is_runnable(each)}
    assert wanted - set(covered()) == set()


def is_runnable(written: Written) -> bool:
    """Whether a command can be run on this machine, or has an equivalent here."""
    if written.page == COMMAND_LINE and len(written.stages[0]) < 4 and written.text not in QUESTIONS:
        return False
    if written.is_name or written.text in SHOP_RUNS | POD_ONLY:
        return False
    return written.tool in ("mercato", "kill") or "logs" in written.stages[0] or written.local != written.text


def covered() -> Iterator[tuple[str, str]]:
    """Yield (page, command) of every command in a test of these files whose page it opens."""
    files = Path(__file__).parent.glob("test_runbooks*.py")
    for test in (each for file in files for each in ast.parse(file.read_text()).body):
        calls = [each for each in ast.walk(test) if isinstance(each, ast.Call)]
        texts = {each.value for each in ast.walk(test) if isinstance(each, ast.Constant)}
        pages = {literal(each) for each in calls if getattr(each.func, "id", "") in ("on", "Runbook")}
        yield from ((each.page, each.local) for each in COMMANDS if each.page in pages and each.text in texts)


def literal(call: ast.Call) -> str:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
