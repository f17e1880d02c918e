"""Platforms for fault tests, and evidence of failures."""

import os
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.scenario import Scenario
from tests.system.platform import Client, Shop
from tests.system.running import ROOT

INJECT = Path(__file__).parent / "inject"


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A platform for all crashes of a file: crashes can be armed, leases are short, access tokens last long."""
    settings = {"LEASE": "2", "ACCESS_TOKEN": "7200", "PYTHONPATH": os.pathsep.join((str(INJECT), str(ROOT)))}
    shop = Shop(tmp_path_factory.mktemp("fragile"), RATE_LIMITS="off", **settings)
    try:
        yield shop.up()
    finally:
        shop.down()


@pytest.fixture(scope="module")
def person(fragile: Shop) -> Client:
    """One buyer for all tests of a file: signing up takes longer than most of them."""
    return fragile.shopper()


@pytest.fixture
def crash(fragile: Shop, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """A scenario on the fragile platform."""
    scenario = Scenario(fragile, _name(request.node))
    yield scenario
    scenario.disarm()


@pytest.fixture
def steady(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """A scenario on a platform of its own with the default settings, except that rate limits are off."""
    shop = Shop(tmp_path, RATE_LIMITS="off")
    try:
        yield Scenario(shop.up(), _name(request.node))
    finally:
        shop.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Save the evidence of a failed scenario before its platform ends, and say how to repeat it."""
    report = yield
    scenario = next((value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Scenario)), None)
    if report.when == "call" and report.failed and scenario is not None:
        report.sections.append(("evidence", str(scenario.save_evidence())))
        report.sections.append(("to repeat this test", f"{sys.executable} -m pytest '{item.nodeid}'"))
    return report


def _name(item: pytest.Item) -> str:
    return re.sub(r"[^a-z0-9]+", "-", item.name.lower()).strip("-")
