"""What a library says by `logging`, in our own log."""

import logging

from chassis import clock
from chassis.observe.log import log

_WARN_EVERY = 60.0


class StdlibLogHandler(logging.Handler):
    """Makes each record a line of ours, with its stack where it has one."""

    def emit(self, record: logging.LogRecord) -> None:
        say = log.error if record.levelno >= logging.ERROR else log.warning
        say(record.getMessage(), **({"error": record.exc_info[1]} if record.exc_info else {}))


class RateLimitedHandler(logging.Handler):
    """Takes over the logger `name`: no stack, and at most one warning and one error a minute, however long it lasts."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(logging.WARNING)
        self._what = what
        self._last: dict[int, float] = {}
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)  # what is said below may hold a password
        logger.handlers = [self]
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        if clock.monotonic() - self._last.get(record.levelno, float("-inf")) >= _WARN_EVERY:
            self._last[record.levelno] = clock.monotonic()
            log.warning(self._what, reason=record.getMessage())
