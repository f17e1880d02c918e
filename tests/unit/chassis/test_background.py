"""Background loops: how often they call, how long they back off, and when they stop."""

import threading

import pytest
from prometheus_client import REGISTRY

from chassis import clock
from chassis.background import MAX_BACKOFF_S, Jobs, retry_until, run_until
from chassis.errors import TransientError
from chassis.observe.health import Health
from chassis.testing import capture_logs
from tests.system.running import eventually


class StopAfter(threading.Event):
    """A stop event on the fake clock, which is set after `seconds`."""

    def __init__(self, fake_clock, seconds):
        super().__init__()
        self._clock, self._ends, self.waits = fake_clock, fake_clock.monotonic() + seconds, []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self._clock.pass_time(timeout)
        if self._clock.monotonic() >= self._ends:
            self.set()
        return self.is_set()


def failing(*errors, result=0.0):
    """An action that raises these errors, one at each call, and then returns the result."""
    left = list(errors)

    def action():
        if left:
            raise left.pop(0)
        return result

    return action


def test_run_waits_as_long_as_the_step_returns(fake_clock):
    called = []

    def step():
        called.append(clock.monotonic())
        return 2.0

    run_until(StopAfter(fake_clock, 7), step, "job failed")
    assert called == [0.0, 2.0, 4.0, 6.0]


def test_run_does_not_wait_while_the_step_returns_zero(fake_clock):
    stop, calls = StopAfter(fake_clock, 1), []

    def step():
        calls.append(1)
        return 1.0 if len(calls) == 5 else 0.0

    run_until(stop, step, "job failed")
    assert (len(calls), stop.waits) == (5, [1.0])


def test_backoff_doubles_up_to_its_limit(fake_clock):
    stop = StopAfter(fake_clock, 60)
    assert retry_until(stop, failing(*[TransientError("down")] * 7, result=42), "store unavailable") == 42
    assert stop.waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, MAX_BACKOFF_S, MAX_BACKOFF_S])


def test_backoff_starts_over_after_a_success(fake_clock):
    stop, down = StopAfter(fake_clock, 2), TransientError("down")
    outcomes = [down, down, 0.0, down]

    def step():
        outcome = outcomes.pop(0) if outcomes else 5.0
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    run_until(stop, step, "job failed")
    assert stop.waits == pytest.approx([0.2, 0.4, 0.2, 5.0])


def test_retry_ends_without_a_result_when_stopped(fake_clock):
    assert retry_until(StopAfter(fake_clock, 1), failing(*[TransientError("down")] * 100), "store unavailable") is None


def test_nothing_is_called_after_stop(fake_clock):
    stop = StopAfter(fake_clock, 1)
    stop.set()
    run_until(stop, lambda: pytest.fail("called"), "job failed")
    assert retry_until(stop, lambda: pytest.fail("called"), "job failed") is None


def test_other_errors_are_raised_unless_they_are_named(fake_clock):
    stop = StopAfter(fake_clock, 60)
    with pytest.raises(ValueError, match="a defect"):
        retry_until(stop, failing(ValueError("a defect")), "job failed")
    assert retry_until(stop, failing(ValueError("a defect"), result=1), "job crashed", retry_on=Exception) == 1


def test_log_says_what_happened_and_when_it_is_retried(fake_clock):
    with capture_logs() as lines:
        action = failing(TransientError("no broker"), ValueError("a defect"))
        retry_until(StopAfter(fake_clock, 60), action, "message bus unavailable", retry_on=Exception)
    assert [(line["level"], line["message"]) for line in lines] == [
        ("warning", "message bus unavailable; retrying"),
        ("error", "message bus unavailable; retrying"),
    ]
    assert [line["retryInS"] for line in lines] == [0.2, 0.4]
    assert "no broker" in lines[0]["error"] and lines[0]["job"] == "MainThread"


def test_backoff_grows_up_to_its_limit_however_long_each_attempt_takes(fake_clock):
    stop = StopAfter(fake_clock, 60)

    def hang():
        fake_clock.pass_time(6)
        raise TransientError("no response in time")

    retry_until(stop, hang, "job failed", max_backoff_s=1.0)
    assert stop.waits[:5] == [pytest.approx(seconds) for seconds in (0.2, 0.4, 0.8, 1.0, 1.0)]


def restarted(name):
    return REGISTRY.get_sample_value("mercato_job_restarts_total", {"job_name": name})


@pytest.mark.parametrize("error", [ValueError("a defect"), SystemExit(), TransientError("down")])
def test_crashed_job_is_restarted_and_the_others_go_on(error):
    stop, other = threading.Event(), threading.Event()
    crash = failing(error)
    jobs = Jobs(stop)
    name = f"crashes by {type(error).__name__}"
    jobs.add(name, lambda stop: crash() or stop.wait())
    jobs.add("other", lambda stop: other.set() or stop.wait())
    jobs.start()
    eventually(lambda: restarted(name) == 1)
    assert other.is_set() and jobs.crash_looping() == []
    stop.set()
    assert jobs.join(30) == []
    assert (restarted(name), restarted("other")) == (1, 0)


def test_job_that_restarts_over_and_over_makes_its_process_not_ready():
    stop = threading.Event()
    jobs = Jobs(stop)
    health = Health("shop", lambda: None)
    health.started, health.crash_looping = True, jobs.crash_looping
    jobs.add("broken", lambda stop: pytest.fail("a defect"))
    assert health.probe("/readyz") == (200, "ready")
    jobs.start()
    eventually(lambda: health.probe("/readyz")[0] == 503)
    assert health.probe("/readyz")[1] == "restarting over and over: broken"
    assert health.probe("/livez")[0] == 200, "a restart of the process would not help"
    stop.set()
    jobs.join(30)


def test_job_that_restarts_now_and_then_leaves_its_process_ready(fake_clock):
    stop = StopAfter(fake_clock, 600)
    jobs = Jobs(stop)

    def crash_each_minute(stop):
        fake_clock.pass_time(31)
        raise ValueError("a defect")

    jobs.add("unlucky", crash_each_minute)
    jobs.start()
    assert jobs.join(30) == []
    assert restarted("unlucky") > 10 and jobs.crash_looping() == []


def test_jobs_end_within_one_common_time(fake_clock):
    stop, ended, waited = threading.Event(), threading.Event(), []
    jobs = Jobs(stop)
    for number in range(3):
        jobs.add(f"late {number}", lambda stop: ended.wait())
    jobs.start()
    for thread in jobs.threads:
        thread.join = lambda timeout_s: waited.append(timeout_s) or fake_clock.pass_time(min(timeout_s, 15))
    assert jobs.join(25) == ["late 0", "late 1", "late 2"]
    assert waited == [25, 10, 0]
    ended.set()
