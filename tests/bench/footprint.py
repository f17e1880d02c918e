"""Footprint: memory of each web process after some load, CPU of an idle platform."""

import os
import time
from pathlib import Path
from typing import Any

from chassis import clock
from tests.bench.shop import running_shop
from tests.faults.replica import child_pids
from tests.system.platform import Shop

MAX_MEMORY_MB, MAX_CPU_PERCENT = 75.0, 10.0
"""Of each web process; of one core, for the whole platform."""
ORDERS = 100
SETTLE_S = 5.0
"""Time for the last events to arrive."""


def run(short: bool) -> list[dict[str, Any]]:
    """Place orders and read, measure memory, then the CPU of the idle platform."""
    with running_shop() as shop:
        _load(shop, ORDERS if short else 5 * ORDERS)
        rows = [_memory(record) for record in shop.run()["processes"] if record["kind"] in ("web", "router")]
        time.sleep(SETTLE_S)
        rows.append(_idle(shop, 10.0 if short else 20.0))
    return rows


def _load(shop: Shop, orders: int) -> None:
    buyer, products = shop.shopper(), [shop.product(stock=100_000) for _ in range(20)]
    for number in range(orders):
        order = buyer.order(products[number % len(products)], key=clock.new_id()).json()["id"]
        for path in (f"/api/orders/{order}", "/api/orders", "/api/products", "/api/notifications", "/api/users/me"):
            assert buyer.get(path).status_code == 200
        assert buyer.get("/api/payments", params={"orderId": order}).status_code == 200
        assert shop.admin().get(f"/api/inventory/{products[0]['id']}").status_code == 200


def _memory(record: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a process: the proportional set size (PSS) of gunicorn's only worker."""
    value = max(_pss_mb(pid) for pid in child_pids(record["pid"]))
    return {
        "name": f"{record['name']} {record['kind']}, memory",
        "value": value,
        "unit": "MB",
        "bar": f"<= {MAX_MEMORY_MB:.0f}",
        "ok": value <= MAX_MEMORY_MB,
    }


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kibibytes * 1024 / 1e6


def _idle(shop: Shop, seconds: float) -> dict[str, Any]:
    pids = [shop.run()["pid"], *(record["pid"] for record in shop.run()["processes"])]
    before, begun = cpu_seconds(pids), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (cpu_seconds(pids) - before) / (time.monotonic() - begun)
    bar = f"< {MAX_CPU_PERCENT:.0f}"
    return {
        "name": "idle platform, CPU",
        "value": percent,
        "unit": "% of a core",
        "bar": bar,
        "ok": percent < MAX_CPU_PERCENT,
    }


def cpu_seconds(pids: list[int]) -> float:
    """Return the seconds of CPU that these processes and their children have used."""
    pids_and_children = {pid for leader in pids for pid in (leader, *child_pids(leader))}
    return sum(_ticks(pid) for pid in pids_and_children) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # utime, stime; see proc(5)
