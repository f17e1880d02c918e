"""Background work: loops that run until the process stops, and back off while a dependency is unavailable."""

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from chassis import clock
from chassis.errors import TransientError
from chassis.observe import metrics
from chassis.observe.log import log

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.2, 5.0
MAX_RESTART_PAUSE_S = 1.0
"""Longest wait before a crashed job runs again."""
MAX_RESTARTS, RESTART_WINDOW_S = 3, 60.0
"""A process is not ready while one of its jobs has restarted this many times within this time."""

T = TypeVar("T")


def run_until(
    stop: threading.Event, step: Callable[[], float], message: str, max_backoff_s: float = MAX_BACKOFF_S
) -> None:
    """Call `step` over and over until `stop` is set; `step` returns the seconds to wait before the next call.

    Retries a step that raises TransientError, as `retry_until` does.
    """
    while not stop.is_set():
        if pause_s := retry_until(stop, step, message, max_backoff_s=max_backoff_s):
            stop.wait(pause_s)


def retry_until(
    stop: threading.Event,
    action: Callable[[], T],
    message: str,
    retry_on: type[Exception] = TransientError,
    max_backoff_s: float = MAX_BACKOFF_S,
) -> T | None:
    """Call `action` until it succeeds, and return its result; None if `stop` is set before.

    Waits 0.2 s after the first `retry_on` error, then twice as long each time, up to `max_backoff_s`. Before each wait,
    logs `message`: as a warning if the error is transient, else as an error.
    """
    backoff_s = MIN_BACKOFF_S
    while not stop.is_set():
        try:
            return action()
        except retry_on as error:
            text, job = f"{message}; retrying", threading.current_thread().name
            if isinstance(error, TransientError):
                log.warning(text, job=job, retryInS=backoff_s, error=error)
            else:
                log.error(text, job=job, retryInS=backoff_s, error=error)
        stop.wait(backoff_s)
        backoff_s = min(2 * backoff_s, max_backoff_s)
    return None


class Jobs:
    """The jobs of a worker process, each on a thread: a job that crashes is restarted, and how often is counted."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self.threads = stop, list[threading.Thread]()
        self._restarted_at: dict[str, deque[float]] = {}

    def add(self, name: str, run: Callable[[threading.Event], None]) -> None:
        """Add a job. `run(stop)` returns once `stop` is set; any exception restarts it."""
        metrics.job_restarts[name].inc(0)  # so that `increase` sees the first restart
        self._restarted_at[name] = deque(maxlen=MAX_RESTARTS)
        thread = threading.Thread(target=self._keep_running, args=(name, run), name=name, daemon=True)
        self.threads.append(thread)

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def join(self, timeout_s: float) -> list[str]:
        """Wait up to `timeout_s` for all jobs together; return the names of those that still run."""
        until = clock.monotonic() + timeout_s
        for thread in self.threads:
            thread.join(max(0.0, until - clock.monotonic()))
        return [thread.name for thread in self.threads if thread.is_alive()]

    def crash_looping(self) -> list[str]:
        """Return the names of the jobs that restart over and over."""
        since = clock.monotonic() - RESTART_WINDOW_S
        return [name for name, times in self._restarted_at.items() if len(times) == MAX_RESTARTS and times[0] >= since]

    def _keep_running(self, name: str, run: Callable[[threading.Event], None]) -> None:
        backoff_s = MIN_BACKOFF_S
        while not self._stop.is_set():
            started_at = clock.monotonic()
            try:
                run(self._stop)
                return
            except BaseException as error:  # SystemExit would end only the thread; the worker would do nothing
                log.error("worker job crashed; restarting", job=name, retryInS=backoff_s, error=error)
            metrics.job_restarts[name].inc()
            self._restarted_at[name].append(clock.monotonic())
            if clock.monotonic() - started_at > RESTART_WINDOW_S:
                backoff_s = MIN_BACKOFF_S
            self._stop.wait(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_RESTART_PAUSE_S)
