"""Tens of thousands of requests made from the contracts: none is a defect, each answer is what its contract says."""

import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.hostile.cast import Cast
from tests.hostile.generate import World, jobs, run
from tests.sizes import by_form

AT_LEAST = by_form(5_000, 20_000)
REACHING = 0.6
PROCESSES = 2


@pytest.fixture(scope="module")
def world(cast: Cast) -> World:
    """What the requests are fed with; what they change is nobody else's."""
    shop = cast.shop
    buyer = shop.shopper()
    products = [shop.product(stock=10_000_000, name="Kettle") for _ in range(4)]
    orders = [buyer.buy(product)["id"] for product in products]
    ids = {
        "users": [buyer.id, shop.shopper().id],
        "customer": [buyer.id],
        "products": [each["id"] for each in products],
        "inventory": [each["id"] for each in products],
        "orders": orders,
        "payments": orders,
    }
    canaries = (*cast.owner.canaries, *cast.other.canaries)
    return World(shop.url, ids, {"customer": buyer.token, "admin": cast.admin.token}, canaries)


@pytest.mark.timeout(900)
def test_no_request_made_from_the_contracts_breaks_them(cast: Cast, world: World) -> None:
    reached = cast.shop.data / "reached"
    before = reached.stat().st_size
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        reports = [future.result() for future in [pool.submit(run, job, world) for job in jobs()]]
    with reached.open("rb") as lines:
        lines.seek(before)
        handled = lines.read().count(b"\n")
    statuses = sum((report.statuses for report in reports), Counter())
    sent = statuses.total()
    print(f"{sent} requests, {handled} of them ({handled / sent:.0%}) reached a handler: {dict(statuses)}")
    wrong = [f"{report.job.label}: {each}" for report in reports for each in report.wrong]
    assert not wrong, f"{len(wrong)} answers that no contract allows:\n" + "\n\n".join(wrong[:10])
    assert not [status for status in statuses if status >= 500]
    assert sent >= AT_LEAST
    assert handled >= REACHING * sent
