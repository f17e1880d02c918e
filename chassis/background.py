"""Background work: loops that run until the process stops, and back off while a dependency is unavailable."""

import threading
from collections.abc import Callable
from typing import TypeVar

from chassis.errors import TransientError
from chassis.observe.log import log

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.2, 5.0

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
