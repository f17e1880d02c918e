"""Five times more than a service can do: how much it still does, how soon it is well again, and whether calls swell.

    1/2 x, as usual ─► 1 x, its peak ─► 5 x ─► 1/2 x

All of it is an open loop: requests are sent when they are due, whatever became of those before. One in ten is a call
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
from tests.bench.footprint import used
from tests.bench.toy import WAIT, serving
from tests.faults.stub_server import client

THREADS = 4
CAPACITY = THREADS / WAIT
FACTOR = 5
GOODPUT, RECOVERY, SWELLING, CPU = 0.9, 10.0, 1.1, 0.7
AS_USUAL = 1.5
"""Times the usual median."""
_PATIENCE = 5.0
_SERVICE, _PATH = "toy", "/api/toy"
_REQUEST = f"GET {_PATH} HTTP/1.1\r\nHost: {_SERVICE}\r\n\r\n".encode()
_FAILURES = (OSError, TimeoutError, asyncio.IncompleteReadError)

Window = tuple[float, float]


def run(short: bool) -> list[dict[str, Any]]:
    """One service with four threads, and all its callers in this process."""
    seconds = 8.0 if short else 30.0
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("waits", Path(folder), THREADS=str(THREADS)) as (port, leader),
    ):
        callers = Callers(port, lambda: time.process_time() + used([leader]))
        usual, peak, over, after = asyncio.run(callers.play(seconds))
    most, goodput = callers.goodput(peak), callers.goodput(over)
    recovery = callers.recovery(after, callers.median(usual) * AS_USUAL)
    swelling = callers.attempts / callers.calls
    busy = callers.cpu / seconds / (os.cpu_count() or 1)
    return [
        {"name": "peak", "value": most, "unit": "answers/s"},
        {"name": f"{FACTOR}x overload", "value": goodput, "unit": "answers/s"},
        _row("goodput / peak", goodput / most, "", f">= {GOODPUT}", goodput >= GOODPUT * most),
        _row("as fast as usual after", recovery, "s", f"<= {RECOVERY:.0f}", recovery <= RECOVERY),
        _row("attempts / calls", swelling, "", f"<= {SWELLING}", swelling <= SWELLING),
        _row("CPU of all this", busy, "of the machine", f"< {CPU}", busy < CPU),
    ]


def _row(name: str, value: float, unit: str, bar: str, ok: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "bar": bar, "ok": ok}


@dataclass(frozen=True)
class Answer:
    """When it was asked for and when it came, in seconds of the monotonic clock; whether it is what was asked for."""

    sent: float
    ended: float
    good: bool


class Callers:
    """Those who ask. `calls`, `attempts` and `cpu` (seconds) are of the overload."""

    def __init__(self, port: int, cpu: Callable[[], float]) -> None:
        self._port, self._cpu = port, cpu
        self._client = client(f"127.0.0.1:{port}", threads=64)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._answers: list[Answer] = []
        self._under_way: list[asyncio.Future[None]] = []
        self.calls = self._made = 0
        self.attempts = self.cpu = 0.0

    async def play(self, seconds: float) -> list[Window]:
        """Every phase; the windows of time that they took."""
        with ThreadPoolExecutor(64) as pool:
            usual = await self._ask(CAPACITY / 2, 3.0, pool)
            peak = await self._ask(CAPACITY, seconds, pool)
            calls, attempts, cpu = self._made, _attempts(), self._cpu()
            over = await self._ask(CAPACITY * FACTOR, seconds, pool)
            self.calls, self.cpu = self._made - calls, self._cpu() - cpu
            after = await self._ask(CAPACITY / 2, RECOVERY + 2, pool)
            await asyncio.gather(*self._under_way)
        self.attempts = _attempts() - attempts - (self._made - calls - self.calls)  # those of `after` made one each
        for _, writer in self._idle:
            writer.close()
        return [usual, peak, over, after]

    def goodput(self, window: Window) -> float:
        """Good answers that came in this window, for each second."""
        begun, until = window
        return sum(each.good and begun <= each.ended < until for each in self._answers) / (until - begun)

    def median(self, window: Window) -> float:
        """The median time of what was asked for in this window; infinite if anything failed."""
        asked = [each for each in self._answers if window[0] <= each.sent < window[1]]
        good = all(each.good for each in asked)
        return statistics.median(each.ended - each.sent for each in asked) if good else float("inf")

    def recovery(self, window: Window, median: float) -> float:
        """Seconds from the beginning of the window until a whole second in which all went well, or to its end."""
        begun, until = window
        seconds = range(int(until - begun))
        return next((s for s in seconds if self.median((begun + s, begun + s + 1)) <= median), until - begun)

    async def _ask(self, rate: float, seconds: float, pool: ThreadPoolExecutor) -> Window:
        loop = asyncio.get_running_loop()
        begun = time.monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(begun + number / rate - time.monotonic())
            if number % 10:
                self._under_way.append(loop.create_task(self._get()))
            else:
                self._made += 1
                self._under_way.append(loop.run_in_executor(pool, self._call))
        return begun, begun + seconds

    async def _get(self) -> None:
        sent, status = time.monotonic(), b""
        try:
            async with asyncio.timeout(_PATIENCE):
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
            status = b""  # no answer is no good answer
        self._answers.append(Answer(sent, time.monotonic(), status == b"200"))

    def _call(self) -> None:
        sent, good = time.monotonic(), True
        try:
            with deadline.within(_PATIENCE):
                self._client.fetch(_SERVICE, _PATH, stale_s=0)
        except TransientError:
            good = False
        self._answers.append(Answer(sent, time.monotonic(), good))


def _attempts() -> float:
    """What the client has tried so far, as its metrics count it."""
    wanted = ("http_client_request_duration_seconds_count", "mercato_http_client_retries_total")
    return sum(
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name in wanted and sample.labels["server_address"] == _SERVICE
    )
