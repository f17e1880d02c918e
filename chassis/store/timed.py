"""A store that measures its operations, and records each as a span of a sampled trace."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from chassis import clock
from chassis.observe import metrics, trace
from chassis.observe.trace import Span
from chassis.settings import settings
from chassis.store import Collection, Duplicate, Store, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")
Operation = Callable[Concatenate[Collection, P], T]

_READS = frozenset({"get", "find", "count", "count_by"})


class TimedStore:
    """Implements `chassis.store.Store` by another store; records the duration and the error of each operation."""

    def __init__(self, store: Store) -> None:
        self.location, self.remedy, self.has_documents = store.location, store.remedy, store.has_documents
        self.ensure_indexes, self.ping, self.close = store.ensure_indexes, store.ping, store.close
        self.purge_deleted = store.purge_deleted
        self.insert, self.get = _timed("insert", store.insert), _timed("get", store.get)
        self.find, self.count = _timed("find", store.find), _timed("count", store.count)
        self.count_by = _timed("count_by", store.count_by)
        self.update, self.delete = _timed("update", store.update), _timed("delete", store.delete)
        self.bulk_update, self.rewrite = _timed("bulk_update", store.bulk_update), _timed("rewrite", store.rewrite)


def _timed(name: str, operation: Operation[P, T]) -> Operation[P, T]:
    outage = metrics.reads if name in _READS else metrics.writes
    system = "mongodb" if settings().mongodb_uri.get_secret_value() else "sqlite"

    def timed(collection: Collection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        started, error_type, current = clock.monotonic(), "", trace.current()
        span = _start_span(current, system, name, collection.name) if current.is_recorded else None
        try:
            found = operation(collection, *args, **kwargs)
        except Duplicate:  # a normal outcome
            raise
        except Exception as error:
            error_type = type(error).__name__
            if isinstance(error, StoreUnavailable):
                outage.failed(started)
            raise
        else:
            outage.succeeded()
            return found
        finally:
            timer = metrics.store[name, collection.name, error_type]
            timer.observe(clock.monotonic() - started, trace.exemplar(current.traceparent))
            if span:
                if error_type:
                    span.set_error(error_type)
                span.end()

    return timed


def _start_span(current: Span, system: str, operation: str, collection: str) -> Span:
    attributes = {"db.system.name": system, "db.operation.name": operation, "db.collection.name": collection}
    return current.child(f"{operation} {collection}", "client", attributes)
