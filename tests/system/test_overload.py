"""Load shedding: of more requests than threads, some wait in the admission queue, and the rest gets a 503."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from chassis import clock
from tests.system import toys
from tests.system.running import Platform, eventually

THREADS = 2
Send = Callable[..., Future[requests.Response]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose services have two threads, and whose requests wait at most two seconds for one."""
    platform = toys.platform(tmp_path_factory.mktemp("small"), THREADS=str(THREADS), DEADLINE="8")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture
def send(small: Platform) -> Iterator[Send]:
    """Return a function that sends a request to the shop in a thread, on a connection of its own."""
    url = f"http://127.0.0.1:{small.process('shop', 'web')['port']}"
    with ThreadPoolExecutor(100) as pool:
        yield lambda path, method="GET", **headers: pool.submit(
            requests.request, method, url + path, headers=headers, timeout=60
        )


def occupy(small: Platform, send: Send, seconds: float) -> list[Future[requests.Response]]:
    """Occupy every thread of the shop for so many seconds."""
    marker = Path(small.environment["DATA_DIR"]) / "slow"
    started = []
    for _ in range(THREADS):
        marker.unlink(missing_ok=True)
        started.append(send(f"/api/shop/slow?{seconds}"))
        eventually(marker.exists)
    return started


def test_a_request_that_waits_too_long_is_shed(small: Platform, send: Send) -> None:
    running = occupy(small, send, 6)
    started_at = clock.monotonic()
    of_browser = send("/cart", Accept="text/html,*/*;q=0.8")
    shed = send("/api/shop", Accept="text/html").result()
    assert clock.monotonic() - started_at < 6
    assert (shed.status_code, shed.headers["Retry-After"]) == (503, "1")
    assert shed.headers["Content-Type"] == "application/problem+json"
    assert shed.json()["type"] == "/problems/not-done"
    page = of_browser.result()
    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8" and "<h1>Service Unavailable</h1>" in page.text
    assert [each.result().status_code for each in running] == [200] * THREADS
    assert send("/api/shop").result().status_code == 200


def test_a_flood_beyond_the_queue_is_shed_at_once(small: Platform, send: Send) -> None:
    running = occupy(small, send, 6)
    flood = [send("/api/shop") for _ in range(90)]
    statuses = [each.result().status_code for each in flood]
    assert set(statuses) <= {200, 503}
    assert statuses.count(503) >= 90 - 64 - THREADS
    assert [each.result().status_code for each in running] == [200] * THREADS
