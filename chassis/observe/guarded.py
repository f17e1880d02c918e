"""Telemetry that cannot stop the work: what a metric or a span raises is logged, and the work goes on."""

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
    """Log what telemetry raises inside `with`, and go on behind it. Raises TransientError: of a store that it reads."""
    return _GUARD


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
