"""Several calls at once, for a page that needs more than one service and survives without some of them.

    found, cart = in_parallel(lambda: find(id), lambda: cart_of(user))
    return Page("product.html", product=found.value, cart=cart.or_else(None))

The threads are shared by all requests of a process: while they are all busy, a page waits, within its deadline.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar, overload

from chassis.errors import ServiceError
from chassis.settings import settings

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@dataclass(frozen=True)
class Part(Generic[T]):
    """The result of one work, or the error that it ended with."""

    _result: T | None
    error: ServiceError | None = None

    @property
    def value(self) -> T:
        """The result. Raises the error, if the work ended with one."""
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]

    def or_else(self, default: A) -> T | A:
        """Return the result, or the default after an error."""
        return default if self.error is not None else self._result  # type: ignore[return-value]


@overload
def in_parallel(first: Callable[[], A], second: Callable[[], B], /) -> tuple[Part[A], Part[B]]: ...
@overload
def in_parallel(
    first: Callable[[], A], second: Callable[[], B], third: Callable[[], C], /
) -> tuple[Part[A], Part[B], Part[C]]: ...
@overload
def in_parallel(
    first: Callable[[], A], second: Callable[[], B], third: Callable[[], C], fourth: Callable[[], D], /
) -> tuple[Part[A], Part[B], Part[C], Part[D]]: ...
def in_parallel(*works: Callable[[], Any]) -> tuple[Part[Any], ...]:
    """Do these works at the same time, with the deadline and the trace of this one, and return a part for each.

    A ServiceError becomes the error of its part. Any other exception is a defect, and is raised once all have ended.
    """
    first, *others = works
    futures = [_threads().submit(copy_context().run, _part, work) for work in others]
    try:
        part = _part(first)
    finally:
        for future in futures:
            future.exception()  # waits: no work outlives its page
    return (part, *(future.result() for future in futures))


def _part(work: Callable[[], T]) -> Part[T]:
    try:
        return Part(work())
    except ServiceError as error:
        return Part(None, error)


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads of this process, made at the first use after any fork."""
    return ThreadPoolExecutor(settings().threads, thread_name_prefix="parallel")
