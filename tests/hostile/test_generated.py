"""Thousands of requests generated from the contracts: no response is a 500, and each matches its contract."""

import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.hostile.actors import Actors
from tests.hostile.generate import World, plan_jobs, run
from tests.sizes import by_form

MIN_REQUESTS = by_form(5_000, 50_000)
MIN_HANDLED_SHARE = 0.6
PROCESSES = 2


@pytest.fixture(scope="module")
def world(actors: Actors) -> World:
    """The data for the requests; nothing else uses what they change."""
    shop = actors.shop
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
    canaries = (*actors.owner.canaries, *actors.other.canaries)
    return World(shop.url, ids, {"customer": buyer.token, "admin": actors.admin.token}, canaries)


@pytest.mark.timeout(by_form(900, 3600))
def test_generated_requests_get_responses_that_match_the_contracts(actors: Actors, world: World) -> None:
    reached = actors.shop.data / "reached"
    before = reached.stat().st_size
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        reports = [future.result() for future in [pool.submit(run, job, world) for job in plan_jobs()]]
    with reached.open("rb") as lines:
        lines.seek(before)
        handled = lines.read().count(b"\n")
    statuses = sum((report.statuses for report in reports), Counter())
    sent = statuses.total()
    print(f"{sent} requests, {handled} of them ({handled / sent:.0%}) reached a handler: {dict(statuses)}")
    failures = [f"{report.job.label}: {each}" for report in reports for each in report.failures]
    assert not failures, f"{len(failures)} responses that break a contract:\n" + "\n\n".join(failures[:10])
    assert not [status for status in statuses if status >= 500]
    assert sent >= MIN_REQUESTS
    assert handled >= MIN_HANDLED_SHARE * sent
