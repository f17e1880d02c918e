"""One case against a running platform: what its clients did, what was broken, what the data show, and the evidence.

case.arm("orders-web", "do take payment", "after")
order = case.place(buyer, product)
case.judge(order)
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from chassis import clock
from tests.faults import checker, dump
from tests.system.platform import FINAL, Client, Shop, eventually
from tests.system.running import ROOT

EVIDENCE = ROOT / ".mercato" / "faults"
QUIET = 60.0
"""Seconds after a fault in which everything is final, published and taken in."""

Product = dict[str, Any]


class Case:
    """`history` is what clients asked and learned, in the order of time."""

    def __init__(self, shop: Shop, name: str) -> None:
        self.shop, self.name = shop, name
        self.history: list[dict[str, Any]] = []
        self.violations: list[str] = []

    def arm(self, process: str, point: str, when: str, whom: str = "self", signal: str = "KILL") -> None:
        """Let a process die (or stop) when it next reaches a point; see `inject/sitecustomize.py`."""
        path = self._crash(process)
        path.with_suffix(".new").write_text(json.dumps({"point": point, "when": when, "whom": whom, "signal": signal}))
        path.with_suffix(".new").replace(path)

    def fired(self, process: str, within: float = 20.0) -> None:
        """Wait until the armed crash of this process has happened."""
        eventually(lambda: not self._crash(process).exists(), within)

    def disarm(self) -> None:
        for path in self.shop.data.glob("crash.*"):
            path.unlink(missing_ok=True)

    def place(self, buyer: Client, product: Product, quantity: int = 1, within: float = 30.0, **fields: Any) -> str:
        """Place an order, asking again under the same key until the platform answers for good; the order's id."""
        body = {"productId": product["id"], "quantity": quantity, **fields}
        answer = self.insist(lambda key: buyer.post("/api/orders", body, key=key), "order", within)
        found = answer.json()
        assert answer.status_code in (201, 202, 402, 409), answer.text
        return str(found["id"] if answer.ok else found["orderId"])

    def insist(self, ask: Callable[[str], requests.Response], op: str, within: float = 30.0) -> requests.Response:
        """Ask with one key until the answer is none of 5xx and "still running"."""
        key = clock.new_id()

        def answered() -> requests.Response | None:
            answer = self.note(op, key, lambda: ask(key))
            if answer is None or answer.status_code >= 500:
                time.sleep(0.1)
                return None
            running = answer.status_code == 409 and answer.json()["type"] == "/problems/key-in-use"
            return None if running else answer

        # A response is true only when it is `ok`, so it comes wrapped.
        found: list[requests.Response] = eventually(lambda: [a] if (a := answered()) is not None else None, within)
        return found[0]

    def note(self, op: str, key: str, ask: Callable[[], requests.Response]) -> requests.Response | None:
        """Ask once, and keep it in the history; None where no answer came, so that nobody knows what was done."""
        line = {"op": op, "key": key, "invoked": clock.timestamp()}
        try:
            answer = ask()
        except requests.RequestException as error:
            self.history.append({**line, "outcome": "unknown", "why": repr(error), "ended": clock.timestamp()})
            return None
        outcome = "ok" if answer.ok else "failed" if answer.status_code < 500 else "unknown"
        self.history.append(
            {**line, "outcome": outcome, "status": answer.status_code, "body": answer.text, "ended": clock.timestamp()}
        )
        return answer

    def final(self, order: str) -> str:
        """The status of an order, once it is final, as its stream tells it."""

        def status() -> str | None:
            found = checker.streams(dump.read(self.shop.data)).get(order, [])
            now = checker.fold(found)["status"] if found else ""
            return now if now in FINAL else None

        return str(eventually(status, QUIET))

    def judge(self, *expected: tuple[str, str]) -> None:
        """Within a minute the platform is quiet, no invariant is violated, and these (order, status) are so."""
        waiting: list[str] = []

        def sound() -> bool:
            found = dump.read(self.shop.data)
            waiting[:] = checker.unquiet(found)
            self.violations = [*checker.check(found, self._accepted()), *self._answers()]
            orders = {id: checker.fold(commits)["status"] for id, commits in checker.streams(found).items()}
            self.violations += [
                f"order {id}: {orders.get(id)}, not {status}" for id, status in expected if orders.get(id) != status
            ]
            return not waiting and not self.violations

        try:
            eventually(sound, QUIET)
        except AssertionError:
            raise AssertionError("\n".join([*self.violations[:20], *waiting[:20]])) from None

    def save(self) -> Path:
        """Keep what happened, for a person to look at; the folder."""
        folder = EVIDENCE / self.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.shop.data, folder / "data", ignore=shutil.ignore_patterns("*-shm", "lock"))
        (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.history))
        (folder / "violations.txt").write_text("".join(line + "\n" for line in self.violations))
        return folder

    def _crash(self, process: str) -> Path:
        return self.shop.data / f"crash.{process}"

    def _accepted(self) -> set[str]:
        """The orders that an answer promised."""
        taken = [line for line in self.history if line["op"] == "order" and line.get("status") in (201, 202)]
        return {json.loads(line["body"])["id"] for line in taken}

    def _answers(self) -> list[str]:
        """I13: one key, one order."""
        seen: dict[str, str] = {}
        wrong = []
        for line in self.history:
            if line["op"] == "order" and line["key"] and line.get("status") in (201, 202):
                id = json.loads(line["body"])["id"]
                if seen.setdefault(line["key"], id) != id:
                    wrong.append(f"I13 key {line['key']}: answered with {seen[line['key']]} and {id}")
        return wrong
