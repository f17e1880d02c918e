"""A test scenario on a running platform: crash injection, a history of client requests, consistency checks, evidence.

scenario.arm_crash("orders-web", "do take payment", "after")
order = scenario.place_order(buyer, product)
scenario.assert_consistent((order, "confirmed"))
"""

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from chassis import clock
from tests import dump
from tests.faults import checker, history
from tests.system.platform import FINAL_STATUSES, Client, Shop, eventually
from tests.system.running import ROOT

EVIDENCE = ROOT / ".mercato" / "faults"
SETTLE_TIMEOUT_S = 60.0
"""After a fault: all orders are final, all events published and consumed within this time."""
RETRY_PAUSE_S = 0.1

Product = dict[str, Any]


class Scenario:
    """One test on one platform.

    `history` holds every client request with its outcome, in the order of the responses. `poison` holds the keys of
    the malformed records that the test has published.
    """

    def __init__(self, shop: Shop, name: str) -> None:
        self.shop, self.name = shop, name
        self.history: list[history.Operation] = []
        self.violations: list[str] = []
        self.poison: set[str] = set()
        self._lock = threading.Lock()
        self._file = (shop.folder / f"{name}.jsonl").open("w", buffering=1)  # line-buffered: survives a killed test

    def arm_crash(self, process: str, point: str, when: str, target: str = "self", signal: str = "KILL") -> None:
        """Arm a crash: the process gets `signal` when it next reaches `point`; see `inject/sitecustomize.py`."""
        path = self._crash_file(process)
        crash = {"point": point, "when": when, "target": target, "signal": signal}
        path.with_suffix(".new").write_text(json.dumps(crash))
        path.with_suffix(".new").replace(path)

    def has_fired(self, process: str) -> bool:
        """Whether the armed crash of this process has happened."""
        return not self._crash_file(process).exists()

    def wait_until_fired(self, process: str, timeout_s: float = 20.0) -> None:
        eventually(lambda: self.has_fired(process), timeout_s)

    def disarm(self) -> None:
        """Remove every armed crash; threads held at a crash point go on."""
        for path in self.shop.data.glob("crash.*"):
            path.unlink(missing_ok=True)

    def place_order(
        self, buyer: Client, product: Product, quantity: int = 1, timeout_s: float = 30.0, **fields: Any
    ) -> str:
        """Place an order, retrying under one key until the response is definite; return the id of the order."""
        body = {"productId": product["id"], "quantity": quantity, **fields}
        response = self.retry_until_answered(lambda key: buyer.post("/api/orders", body, key=key), "order", timeout_s)
        found = response.json()
        assert response.status_code in (201, 202, 402, 409), response.text
        return str(found["id"] if response.ok else found["orderId"])

    def retry_until_answered(
        self,
        send: Callable[[str], requests.Response],
        op: str,
        timeout_s: float = 30.0,
        order: str = "",
        key: str | None = None,
    ) -> requests.Response:
        """Send a request under one key until the response is not 5xx, 429 or "key in use"."""
        key = clock.new_id() if key is None else key

        def definite() -> requests.Response | None:
            response = self.send_once(op, key, lambda: send(key), order)
            if response is None or response.status_code >= 500 or response.status_code == 429:
                time.sleep(RETRY_PAUSE_S)
                return None
            return None if "/problems/key-in-use" in response.text else response

        # The truth value of a response is `ok`, so a list wraps it.
        found: list[requests.Response] = eventually(lambda: [a] if (a := definite()) is not None else None, timeout_s)
        return found[0]

    def send_once(
        self, op: str, key: str, send: Callable[[], requests.Response], order: str = ""
    ) -> requests.Response | None:
        """Send a request once and append it to the history; return None where no response came."""
        operation = {"op": op, "key": key, "order": order, "invoked": clock.timestamp(), "replayed": False}
        try:
            response = send()
        except requests.RequestException as error:
            self._append({**operation, "outcome": "unknown", "error": repr(error)})
            return None
        outcome = "ok" if response.ok else "failed" if response.status_code < 500 else "unknown"
        replayed = "Idempotent-Replayed" in response.headers
        result = {"outcome": outcome, "status": response.status_code, "replayed": replayed, "body": response.text}
        self._append({**operation, **result})
        return response

    def final_status(self, order: str) -> str:
        """Wait until an order is final; return its status as its event stream shows it."""

        def status() -> str | None:
            found = checker.event_streams(dump.read_store(self.shop.place, "orders", "streams")).get(order, [])
            now = checker.fold(found)["status"] if found else ""
            return now if now in FINAL_STATUSES else None

        return str(eventually(status, SETTLE_TIMEOUT_S))

    def assert_consistent(self, *expected: tuple[str, str]) -> None:
        """Wait until the platform is idle, no invariant is violated and these (order, status) pairs hold.

        Raises:
            AssertionError: not within SETTLE_TIMEOUT_S; names the violations and the unfinished work.
        """
        unfinished: list[str] = []

        def is_consistent() -> bool:
            unfinished[:] = checker.lagging_groups(dump.lag(self.shop.place))
            if unfinished:  # reading everything slows the platform down: read only the lag first
                return False
            found = dump.read(self.shop.place)
            unfinished[:] = checker.unfinished_work(found)
            self.violations = checker.check(found, history.accepted_orders(self.history), self.poison)
            self.violations += history.check_history(self.history)
            orders = {id: checker.fold(commits)["status"] for id, commits in checker.event_streams(found).items()}
            self.violations += [
                f"order {id}: {orders.get(id)}, not {status}" for id, status in expected if orders.get(id) != status
            ]
            return not unfinished and not self.violations

        try:
            eventually(is_consistent, SETTLE_TIMEOUT_S)
        except AssertionError:
            raise AssertionError("\n".join([*self.violations[:20], *unfinished[:20]])) from None

    def save_evidence(self) -> Path:
        """Copy data, history and violations to a folder; return it."""
        folder = EVIDENCE / self.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.shop.data, folder / "data", ignore=shutil.ignore_patterns("*-shm", "lock"))
        shutil.copy(self._file.name, folder / "history.jsonl")
        (folder / "violations.txt").write_text("".join(line + "\n" for line in self.violations))
        return folder

    def _crash_file(self, process: str) -> Path:
        return self.shop.data / f"crash.{process}"

    def _append(self, operation: history.Operation) -> None:
        operation["ended"] = clock.timestamp()
        with self._lock:
            self.history.append(operation)
            self._file.write(json.dumps(operation) + "\n")
