"""Telemetry that cannot stop the work: an error of a metric or a span is logged, and the work continues."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from chassis.errors import TransientError
from chassis.observe.log import log
from chassis.observe.trace import Span


class _Guard:
    """A context manager, because a generator would cost four times as much at each record."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, TransientError):
            return False
        log.error("telemetry failed; the work goes on", error=error)
        return True


_GUARD = _Guard()


def guarded() -> _Guard:
    """Log an error inside `with`, and continue after it. Raises TransientError, of a store that telemetry reads."""
    return _GUARD


@contextmanager
def guarded_span(start: Callable[[], Span]) -> Iterator[Span]:
    """Make the span that `start` returns the current one, or a span that is not recorded if `start` fails."""
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
