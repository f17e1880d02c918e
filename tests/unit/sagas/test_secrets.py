"""The secrets of a saga, such as a payment token, are in no log line and not in the log of the saga."""

from chassis.errors import NotAttempted, OutcomeUnknown
from chassis.messages import Command
from chassis.sagas import Saga, Step
from chassis.sagas.driver import Driver
from chassis.testing import capture_logs


class Charge(Command):
    order_id: str
    token: str


def test_secret_is_in_no_log_line_whatever_the_outcome(sagas, fake_clock):
    outcomes = [OutcomeUnknown("no answer"), NotAttempted("breaker"), ValueError("a defect"), None]

    def send(command, key):
        if outcome := outcomes.pop(0):
            raise outcome

    driver = Driver(Saga("pay", (Step("charge", Charge),), secrets=("token",)), sagas, lambda: 10.0, send)
    with capture_logs() as lines:
        driver.drive(driver.open("o1", {"order_id": "o1", "token": "tok_4242"}))
        while outcomes:
            fake_clock.pass_time(20)
            driver.resume(driver.find_due()[0])
    ended = sagas.get("o1")
    assert ended["ended"] == "done"
    assert lines
    assert "tok_4242" not in f"{lines} {ended}"
