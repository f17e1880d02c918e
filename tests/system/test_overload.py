"""More requests than a service has threads for: some wait, the urgent ones less, and the rest is told to come again."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from chassis import clock
from tests.system import toys
from tests.system.running import Platform, eventually

THREADS = 2
Ask = Callable[..., Future[requests.Response]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose services have two threads, and wait half a second for one at most."""
    platform = toys.platform(tmp_path_factory.mktemp("small"), THREADS=str(THREADS), DEADLINE="2")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture
def ask(small: Platform) -> Iterator[Ask]:
    """Ask the shop's own port, each time in a thread and on a connection of its own."""
    url = f"http://127.0.0.1:{small.process('shop', 'web')['port']}"
    with ThreadPoolExecutor(100) as pool:
        yield lambda path, method="GET": pool.submit(requests.request, method, url + path, timeout=20)


def busy(small: Platform, ask: Ask, seconds: float) -> list[Future[requests.Response]]:
    """Every thread of the shop has something to do for so long."""
    marker = Path(small.environment["DATA_DIR"]) / "slow"
    begun = []
    for _ in range(THREADS):
        marker.unlink(missing_ok=True)
        begun.append(ask(f"/api/shop/slow?{seconds}"))
        eventually(marker.exists)
    return begun


def test_a_request_that_waits_too_long_for_a_thread_is_told_to_come_again(small: Platform, ask: Ask) -> None:
    under_way = busy(small, ask, 1.5)
    began = clock.monotonic()
    refused = ask("/api/shop").result()
    assert clock.monotonic() - began < 1.4
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/not-done"
    assert [each.result().status_code for each in under_way] == [200] * THREADS
    assert ask("/api/shop").result().status_code == 200


def test_a_flood_is_refused_at_once_beyond_the_line(small: Platform, ask: Ask) -> None:
    under_way = busy(small, ask, 1.5)
    flood = [ask("/api/shop") for _ in range(90)]
    statuses = [each.result().status_code for each in flood]
    assert set(statuses) <= {200, 503}
    assert statuses.count(503) >= 90 - 64 - THREADS
    assert [each.result().status_code for each in under_way] == [200] * THREADS
