"""One scenario against a running platform: what its clients did, what was broken, what the data show, and the evidence.

scenario.arm_crash("orders-web", "do take payment", "after")
order = scenario.place_order(buyer, product)
scenario.assert_consistent(order)
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
from tests.system.platform import FINAL, Client, Shop, eventually
from tests.system.running import ROOT

EVIDENCE = ROOT / ".mercato" / "faults"
SETTLE_TIMEOUT_S = 60.0
"""Seconds after a fault in which everything is final, published and taken in."""

Product = dict[str, Any]


class Scenario:
    """`history` is what clients asked and learned, in the order of time; `poison` are keys of unreadable records."""

    def __init__(self, shop: Shop, name: str) -> None:
        self.shop, self.name = shop, name
        self.history: list[history.Operation] = []
        self.violations: list[str] = []
        self.poison: set[str] = set()
        self._lock = threading.Lock()
        self._file = (shop.folder / f"{name}.jsonl").open("w", buffering=1)  # a line is there once it is said

    def arm_crash(self, process: str, point: str, when: str, target: str = "self", signal: str = "KILL") -> None:
        """Let a process die (or wait) when it next reaches a point; see `inject/sitecustomize.py`."""
        path = self._crash(process)
        path.with_suffix(".new").write_text(
            json.dumps({"point": point, "when": when, "target": target, "signal": signal})
        )
        path.with_suffix(".new").replace(path)

    def has_fired(self, process: str) -> bool:
        """Whether the armed crash of this process has happened."""
        return not self._crash(process).exists()

    def wait_until_fired(self, process: str, within: float = 20.0) -> None:
        """Wait until it has."""
        eventually(lambda: self.has_fired(process), within)

    def disarm(self) -> None:
        for path in self.shop.data.glob("crash.*"):
            path.unlink(missing_ok=True)

    def place_order(
        self, buyer: Client, product: Product, quantity: int = 1, within: float = 30.0, **fields: Any
    ) -> str:
        """Place an order, asking again under the same key until the platform answers for good; the order's id."""
        body = {"productId": product["id"], "quantity": quantity, **fields}
        answer = self.retry_until_answered(lambda key: buyer.post("/api/orders", body, key=key), "order", within)
        found = answer.json()
        assert answer.status_code in (201, 202, 402, 409), answer.text
        return str(found["id"] if answer.ok else found["orderId"])

    def retry_until_answered(
        self,
        ask: Callable[[str], requests.Response],
        op: str,
        within: float = 30.0,
        about: str = "",
        key: str | None = None,
    ) -> requests.Response:
        """Ask with one key until the answer is none of 5xx, 429 and "still running"."""
        key = clock.new_id() if key is None else key

        def answered() -> requests.Response | None:
            answer = self.send_once(op, key, lambda: ask(key), about)
            if answer is None or answer.status_code >= 500 or answer.status_code == 429:
                time.sleep(0.1)  # as a client waits before it asks again
                return None
            return None if "/problems/key-in-use" in answer.text else answer

        # A response is true only when it is `ok`, so it comes wrapped.
        found: list[requests.Response] = eventually(lambda: [a] if (a := answered()) is not None else None, within)
        return found[0]

    def send_once(
        self, op: str, key: str, ask: Callable[[], requests.Response], about: str = ""
    ) -> requests.Response | None:
        """Ask once, and keep it in the history; None where no answer came, so that nobody knows what was done."""
        line = {"op": op, "key": key, "about": about, "invoked": clock.timestamp(), "replayed": False}
        try:
            answer = ask()
        except requests.RequestException as error:
            self._keep({**line, "outcome": "unknown", "why": repr(error)})
            return None
        outcome = "ok" if answer.ok else "failed" if answer.status_code < 500 else "unknown"
        replayed = "Idempotent-Replayed" in answer.headers
        said = {"outcome": outcome, "status": answer.status_code, "replayed": replayed, "body": answer.text}
        self._keep({**line, **said})
        return answer

    def final_status(self, order: str) -> str:
        """The status of an order, once it is final, as its stream tells it."""

        def status() -> str | None:
            found = checker.event_streams(dump.read_store(self.shop.place, "orders", "streams")).get(order, [])
            now = checker.fold(found)["status"] if found else ""
            return now if now in FINAL else None

        return str(eventually(status, SETTLE_TIMEOUT_S))

    def assert_consistent(self, *expected: tuple[str, str]) -> None:
        """Within a minute the platform is quiet, no invariant is violated, and these (order, status) are so."""
        waiting: list[str] = []

        def sound() -> bool:
            waiting[:] = checker.lagging_groups(dump.lag(self.shop.place))
            if waiting:  # reading all of it takes from the platform what it needs
                return False
            found = dump.read(self.shop.place)
            waiting[:] = checker.unfinished_work(found)
            self.violations = checker.check(found, history.accepted_orders(self.history), self.poison)
            self.violations += history.check_history(self.history)
            orders = {id: checker.fold(commits)["status"] for id, commits in checker.event_streams(found).items()}
            self.violations += [
                f"order {id}: {orders.get(id)}, not {status}" for id, status in expected if orders.get(id) != status
            ]
            return not waiting and not self.violations

        try:
            eventually(sound, SETTLE_TIMEOUT_S)
        except AssertionError:
            raise AssertionError("\n".join([*self.violations[:20], *waiting[:20]])) from None

    def save_evidence(self) -> Path:
        """Keep what happened, for a person to look at; the folder."""
        folder = EVIDENCE / self.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.shop.data, folder / "data", ignore=shutil.ignore_patterns("*-shm", "lock"))
        shutil.copy(self._file.name, folder / "history.jsonl")
        (folder / "violations.txt").write_text("".join(line + "\n" for line in self.violations))
        return folder

    def _crash(self, process: str) -> Path:
        return self.shop.data / f"crash.{process}"

    def _keep(self, line: history.Operation) -> None:
        line["ended"] = clock.timestamp()
        with self._lock:
            self.history.append(line)
            self._file.write(json.dumps(line) + "\n")
