"""Telemetry that cannot stop the work: what a metric or a span raises is logged, and the work goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chassis.errors import TransientError
from chassis.observe.log import log
from chassis.observe.trace import Span


@contextmanager
def guarded() -> Iterator[None]:
    """Log what telemetry raises inside `with`, and go on behind it. Raises TransientError: of a store that it reads."""
    try:
        yield
    except TransientError:
        raise
    except Exception as error:
        log.error("telemetry failed; the work goes on", error=error)


@contextmanager
def guarded_span(start: Callable[[], Span]) -> Iterator[Span]:
    """Make the span that `start` returns the current work, or one that is not recorded if `start` fails."""
    span = Span("")
    with guarded():
        span = start()
    span.__enter__()
    try:
        yield span
    except BaseException as error:
        with guarded():
            span.__exit__(type(error), error, error.__traceback__)
        raise
    with guarded():
        span.__exit__(None, None, None)
