"""A `do` that fails by a defect for a minute is blocked; other failures block nothing."""

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from chassis.calls import outcomes
from chassis.calls.outcomes import RequestRejected, UpstreamDefect
from chassis.errors import DomainError, NotAttempted, OutcomeUnknown
from chassis.messages import Command
from chassis.sagas import Saga, Step
from chassis.sagas.driver import Driver
from chassis.testing import FakeClock, capture_logs
from tests.unit.sagas.buying import DAY_S, SAGA, FakeServices, Refund, driven, resumed

DEFECTS = [
    TypeError("a defect"),
    ValueError("a defect"),
    RequestRejected("inventory responded 422 Invalid input", is_invalid=True),
    UpstreamDefect("inventory responded 500"),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("step", ["check", "reserve", "charge", "confirm", "ship"])
def test_do_that_ends_by_a_defect_five_times_is_blocked_and_alerts(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, defect: Exception, step: str
) -> None:
    services.errors[step] = defect
    with capture_logs() as lines:
        doc = driven(driver, fake_clock)
    assert doc["blocked"] and doc["open"] and not doc["undoing"]
    assert SAGA.steps[doc["step"]].name == step
    assert services.count(step) == 11, "one each 6 s of the first minute"
    assert services.count("refund") == services.count("release") == 0
    assert [line["message"] for line in lines].count("saga blocked") == 1
    fake_clock.pass_time(365 * DAY_S)
    assert driver.find_due() == []
    driver.export_gauges()
    of_steps = {
        each.name: REGISTRY.get_sample_value("mercato_saga_blocked", {"saga": "buy", "step": each.name})
        for each in SAGA.steps
    }
    assert of_steps == {each.name: float(each.name == step) for each in SAGA.steps}


@pytest.mark.parametrize("step", ["check", "reserve", "charge", "confirm", "ship"])
def test_burst_of_defects_blocks_nothing(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, step: str
) -> None:
    services.errors[step] = UpstreamDefect("inventory responded 500")
    doc = driver.drive(driver.open("o1", {"order_id": "o1", "token": "tok"}), max_s=50)
    assert (doc["defects"] > 10, doc["blocked"], doc["undoing"]) == (True, False, False)
    services.errors.clear()
    assert resumed(driver, fake_clock)["ended"] == "done"


@pytest.mark.parametrize("time_limit_s", [30.0, 60.0])
def test_defect_in_a_step_with_a_short_time_limit_is_compensated(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, time_limit_s: float
) -> None:
    steps = tuple(replace(step, time_limit_s=time_limit_s) if step.name == "reserve" else step for step in SAGA.steps)
    driver.saga = Saga("buy", steps)
    services.errors["reserve"] = UpstreamDefect("inventory responded 500")
    doc = driven(driver, fake_clock)
    assert (doc["ended"], doc["reason"]["kind"], services.count("release")) == ("undone", "timeout", 1)


@pytest.mark.parametrize(
    "failure",
    [OutcomeUnknown("late"), NotAttempted("circuit open"), RequestRejected("inventory responded 401 Unauthenticated")],
    ids=lambda each: str(each),
)
def test_failure_that_may_pass_by_itself_blocks_nothing(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, failure: Exception
) -> None:
    services.errors["confirm"] = failure
    doc = driven(driver, fake_clock, times=50)
    assert doc["open"] and not doc["blocked"] and not doc["undoing"]
    services.errors.clear()
    assert resumed(driver, fake_clock)["ended"] == "done"


def test_defects_count_although_other_failures_come_between(
    driver: Driver, services: FakeServices, fake_clock: FakeClock
) -> None:
    services.errors["confirm"] = TypeError("a defect")
    driven(driver, fake_clock, times=1)
    services.errors["confirm"] = NotAttempted("circuit open")
    resumed(driver, fake_clock, times=8)
    services.errors["confirm"] = TypeError("a defect")
    doc = resumed(driver, fake_clock)
    assert (doc["blocked"], doc["defects"], doc["attempts"]) == (True, 5, 13)


def test_command_that_needs_a_field_which_the_saga_does_not_have_is_blocked_without_its_secret_in_the_log(
    driver: Driver, services: FakeServices, fake_clock: FakeClock
) -> None:
    class ChargeOfLater(Command, name="charge"):
        order_id: str
        token: str
        country: str

    later = Saga("buy", (*SAGA.steps[:2], Step("charge", ChargeOfLater, Refund), *SAGA.steps[3:]), secrets=("token",))
    with capture_logs() as lines:
        doc = driven(Driver(later, driver.collection, lambda: 10.0, services), fake_clock)
    assert doc["blocked"] and services.count("charge") == 0
    assert "'tok'" not in str(lines) and "'tok'" not in str(doc["log"])
    assert doc["data"]["token"] == "tok"


def test_undo_that_ends_by_a_defect_is_never_given_up(
    driver: Driver, services: FakeServices, fake_clock: FakeClock
) -> None:
    services.errors |= {"charge": DomainError("declined"), "release": TypeError("a defect")}
    doc = driven(driver, fake_clock, times=60)
    assert doc["undoing"] and doc["open"] and not doc["blocked"] and services.count("release") > 10
    services.errors.clear()
    assert resumed(driver, fake_clock)["ended"] == "undone"


@pytest.mark.parametrize(
    ("status", "is_invalid"), [(400, True), (413, True), (415, True), (422, True), (401, False), (403, False)]
)
def test_request_that_a_service_cannot_read_is_told_from_one_that_it_does_not_allow(
    status: int, is_invalid: bool
) -> None:
    problem = b'{"type": "/problems/invalid", "title": "Invalid input"}'
    response = outcomes.HttpResponse(status, {}, problem)
    with pytest.raises(RequestRejected) as caught:
        outcomes.read("inventory", response)
    assert caught.value.is_invalid is is_invalid
