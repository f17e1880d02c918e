"""Handlers that pass records of the standard library's logging to the log of the process."""

import logging

from chassis import clock
from chassis.observe.log import log

_MIN_INTERVAL_S = 60.0


class StdlibLogHandler(logging.Handler):
    """A handler that logs each record, with its stack trace if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        write = log.error if record.levelno >= logging.ERROR else log.warning
        write(record.getMessage(), **({"error": record.exc_info[1]} if record.exc_info else {}))


class RateLimitedHandler(logging.Handler):
    """The only handler of the logger `name`: at most one warning and one error per minute, without stack traces."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(logging.WARNING)
        self._message = message
        self._logged_at: dict[int, float] = {}
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)  # lower levels may contain a password
        logger.handlers = [self]
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        if clock.monotonic() - self._logged_at.get(record.levelno, float("-inf")) >= _MIN_INTERVAL_S:
            self._logged_at[record.levelno] = clock.monotonic()
            log.warning(self._message, reason=record.getMessage())
