"""Overload: goodput of a service at five times its capacity, recovery time, and amplification by retries.

    1/2 x, normal ─► 1 x, peak ─► 5 x, overload ─► 1/2 x, recovery

The load is an open loop: requests are sent when they are due, whatever happened to earlier ones. One in ten is a call
of the platform's own client, which retries; the others are bare HTTP.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from chassis import deadline
from chassis.errors import TransientError
from tests.bench.footprint import cpu_seconds
from tests.bench.toy import WAIT_S, serving
from tests.faults.stub_server import client

THREADS = 4
CAPACITY = THREADS / WAIT_S
FACTOR = 5
MIN_GOODPUT, MAX_RECOVERY_S, MAX_AMPLIFICATION, MAX_CPU = 0.9, 10.0, 1.1, 0.7
RECOVERED = 1.5
"""Times the normal median at which the service counts as recovered."""
_TIMEOUT_S = 5.0
_SERVICE, _PATH = "toy", "/api/toy"
_REQUEST = f"GET {_PATH} HTTP/1.1\r\nHost: {_SERVICE}\r\n\r\n".encode()
_FAILURES = (OSError, TimeoutError, asyncio.IncompleteReadError)

Window = tuple[float, float]


def run(short: bool) -> list[dict[str, Any]]:
    """Measure one service with four threads; all its callers are in this process."""
    seconds = 8.0 if short else 30.0
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("waits", Path(folder), THREADS=str(THREADS)) as (port, leader),
    ):
        callers = Callers(port, lambda: time.process_time() + cpu_seconds([leader]))
        normal, peak, overload, after = asyncio.run(callers.run(seconds))
    most, goodput = callers.goodput(peak), callers.goodput(overload)
    recovery = callers.recovery(after, callers.median(normal) * RECOVERED)
    amplification = callers.attempts / callers.calls
    busy = callers.cpu / seconds / (os.cpu_count() or 1)
    return [
        {"name": "peak", "value": most, "unit": "responses/s"},
        {"name": f"{FACTOR}x overload", "value": goodput, "unit": "responses/s"},
        _row("goodput / peak", goodput / most, "", f">= {MIN_GOODPUT}", goodput >= MIN_GOODPUT * most),
        _row("recovered after", recovery, "s", f"<= {MAX_RECOVERY_S:.0f}", recovery <= MAX_RECOVERY_S) | {"goal": True},
        _row("attempts / calls", amplification, "", f"<= {MAX_AMPLIFICATION}", amplification <= MAX_AMPLIFICATION),
        _row("CPU of service and callers", busy, "of the machine", f"< {MAX_CPU}", busy < MAX_CPU),
    ]


def _row(name: str, value: float, unit: str, bar: str, ok: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "bar": bar, "ok": ok}


@dataclass(frozen=True)
class Response:
    """Send and end time of a request, in seconds of the monotonic clock, and whether it succeeded."""

    sent: float
    ended: float
    good: bool


class Callers:
    """The load. `calls`, `attempts` and `cpu` (seconds) are those of the overload."""

    def __init__(self, port: int, cpu: Callable[[], float]) -> None:
        self._port, self._cpu = port, cpu
        self._client = client(f"127.0.0.1:{port}", threads=64)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._responses: list[Response] = []
        self._pending: list[asyncio.Future[None]] = []
        self.calls = self._made = 0
        self.attempts = self.cpu = 0.0

    async def run(self, seconds: float) -> list[Window]:
        """Run all phases; return the time window of each."""
        with ThreadPoolExecutor(64) as pool:
            normal = await self._send(CAPACITY / 2, 3.0, pool)
            peak = await self._send(CAPACITY, seconds, pool)
            calls, attempts, cpu = self._made, _attempts(), self._cpu()
            overload = await self._send(CAPACITY * FACTOR, seconds, pool)
            self.calls, self.cpu = self._made - calls, self._cpu() - cpu
            after = await self._send(CAPACITY / 2, MAX_RECOVERY_S + 2, pool)
            await asyncio.gather(*self._pending)
        self.attempts = _attempts() - attempts - (self._made - calls - self.calls)  # calls of `after` took one each
        for _, writer in self._idle:
            writer.close()
        return [normal, peak, overload, after]

    def goodput(self, window: Window) -> float:
        """Return the good responses per second in this window."""
        begun, until = window
        return sum(each.good and begun <= each.ended < until for each in self._responses) / (until - begun)

    def median(self, window: Window) -> float:
        """Return the median time of the requests sent in this window; infinity if any failed."""
        sent = [each for each in self._responses if window[0] <= each.sent < window[1]]
        good = all(each.good for each in sent)
        return statistics.median(each.ended - each.sent for each in sent) if good else float("inf")

    def recovery(self, window: Window, median: float) -> float:
        """Return the seconds until the first second with this median and no failure, or the length of the window."""
        begun, until = window
        seconds = range(int(until - begun))
        return next((s for s in seconds if self.median((begun + s, begun + s + 1)) <= median), until - begun)

    async def _send(self, rate: float, seconds: float, pool: ThreadPoolExecutor) -> Window:
        loop = asyncio.get_running_loop()
        begun = time.monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(begun + number / rate - time.monotonic())
            if number % 10:
                self._pending.append(loop.create_task(self._get()))
            else:
                self._made += 1
                self._pending.append(loop.run_in_executor(pool, self._call))
        return begun, begun + seconds

    async def _get(self) -> None:
        sent, status = time.monotonic(), b""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                kept = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
                kept[1].write(_REQUEST)
                head = (await kept[0].readuntil(b"\r\n\r\n")).lower()
                await kept[0].readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                status = head[9:12]
                if b"connection: close" in head:
                    kept[1].close()
                else:
                    self._idle.append(kept)
        except _FAILURES:
            status = b""  # no response
        self._responses.append(Response(sent, time.monotonic(), status == b"200"))

    def _call(self) -> None:
        sent, good = time.monotonic(), True
        try:
            with deadline.within(_TIMEOUT_S):
                self._client.fetch(_SERVICE, _PATH, stale_s=0)
        except TransientError:
            good = False
        self._responses.append(Response(sent, time.monotonic(), good))


def _attempts() -> float:
    """Return the attempts of the client so far, from its metrics."""
    wanted = ("http_client_request_duration_seconds_count", "mercato_http_client_retries_total")
    return sum(
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name in wanted and sample.labels["server_address"] == _SERVICE
    )
