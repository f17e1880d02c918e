"""What the platform takes of a machine: memory of each web worker after some load, CPU while nobody asks."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from chassis import clock
from tests.faults.replica import child_pids
from tests.system.platform import Shop

MEMORY, CPU = 75.0, 10.0
"""MB of each web worker; percent of one core for the whole platform."""
ORDERS = 100
QUIET = 5.0
"""Seconds after the load until its events have arrived."""


def run(short: bool) -> list[dict[str, Any]]:
    """Place orders and read, weigh the workers, then watch the platform do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder), RATE_LIMITS="off")
        try:
            shop.up()
            _load(shop, ORDERS if short else 5 * ORDERS)
            rows = [_weighed(record) for record in shop.run()["processes"] if record["kind"] in ("web", "router")]
            time.sleep(QUIET)
            rows.append(_idle(shop, 10.0 if short else 20.0))
        finally:
            shop.down()
    return rows


def _load(shop: Shop, orders: int) -> None:
    buyer, products = shop.shopper(), [shop.product(stock=100_000) for _ in range(20)]
    for number in range(orders):
        order = buyer.order(products[number % len(products)], key=clock.new_id()).json()["id"]
        for path in (f"/api/orders/{order}", "/api/orders", "/api/products", "/api/notifications", "/api/users/me"):
            assert buyer.get(path).status_code == 200
        assert buyer.get("/api/payments", params={"orderId": order}).status_code == 200
        assert shop.admin().get(f"/api/inventory/{products[0]['id']}").status_code == 200


def _weighed(record: dict[str, Any]) -> dict[str, Any]:
    """Shared pages count by their share (PSS); the largest child of gunicorn's master is its one worker."""
    value = max(_pss(pid) for pid in child_pids(record["pid"]))
    return {
        "name": f"{record['name']} {record['kind']}, memory",
        "value": value,
        "unit": "MB",
        "bar": f"<= {MEMORY:.0f}",
        "ok": value <= MEMORY,
    }


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kibibytes * 1024 / 1e6


def _idle(shop: Shop, seconds: float) -> dict[str, Any]:
    pids = [shop.run()["pid"], *(record["pid"] for record in shop.run()["processes"])]
    before, begun = used(pids), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (used(pids) - before) / (time.monotonic() - begun)
    bar = f"< {CPU:.0f}"
    return {"name": "idle platform, CPU", "value": percent, "unit": "% of a core", "bar": bar, "ok": percent < CPU}


def used(pids: list[int]) -> float:
    """Seconds of CPU that these processes and their child_pids have used."""
    everyone = {pid for leader in pids for pid in (leader, *child_pids(leader))}
    return sum(_ticks(pid) for pid in everyone) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # utime, stime; see proc(5)
