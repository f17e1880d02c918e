"""Reliable Flask services on MongoDB and Kafka, or on SQLite files alone. README.md shows a complete service.

What `__all__` names is the public API. A name is imported from its module when it is first used, so that a command that
needs one of them does not load Flask, Kafka and all the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chassis.calls import Part, ProblemResponse, fetch, in_parallel, on_behalf, send
    from chassis.calls.breaker import BreakerPolicy
    from chassis.errors import (
        DeadlineExceeded,
        DomainError,
        ErrorCategory,
        Forbidden,
        InvalidInput,
        NotAttempted,
        NotFound,
        OutcomeUnknown,
        ServiceError,
        TransientError,
        VersionConflict,
    )
    from chassis.events.envelope import Meta
    from chassis.events.erasure import Subjects
    from chassis.events.eventsourcing import StreamOutbox, Streams
    from chassis.events.outbox import PENDING_INDEX, EmbeddedOutbox, LatestStateOutbox, append_event, new_outbox
    from chassis.events.set_aside import SetAside
    from chassis.messages import Command, Event
    from chassis.money import Money
    from chassis.sagas import Done, Saga, Step, StepTimedOut
    from chassis.sagas.driver import Driver
    from chassis.schema import Id, QueryParams, RequestBody, Schema, Timestamp
    from chassis.service import Service
    from chassis.settings import Settings
    from chassis.store import (
        Collection,
        Doc,
        Duplicate,
        Filter,
        Index,
        Update,
        UpdateOne,
        Version,
        merge_updates,
    )
    from chassis.web.api import ADMIN, ANYONE, SIGNED_IN, Api, Response
    from chassis.web.auth import Caller
    from chassis.web.idempotency import Attempt
    from chassis.web.paging import Page, PageQuery, find_page

_MODULES = {
    "calls": "Part ProblemResponse fetch in_parallel on_behalf send",
    "calls.breaker": "BreakerPolicy",
    "errors": "DeadlineExceeded DomainError ErrorCategory Forbidden InvalidInput NotAttempted NotFound OutcomeUnknown "
    "ServiceError TransientError VersionConflict",
    "events.envelope": "Meta",
    "events.erasure": "Subjects",
    "events.eventsourcing": "StreamOutbox Streams",
    "events.outbox": "PENDING_INDEX EmbeddedOutbox LatestStateOutbox append_event new_outbox",
    "events.set_aside": "SetAside",
    "messages": "Command Event",
    "money": "Money",
    "sagas": "Done Saga Step StepTimedOut",
    "sagas.driver": "Driver",
    "schema": "Id QueryParams RequestBody Schema Timestamp",
    "service": "Service",
    "settings": "Settings",
    "store": "Collection Doc Duplicate Filter Index Update UpdateOne Version merge_updates",
    "web.api": "ADMIN ANYONE SIGNED_IN Api Response",
    "web.auth": "Caller",
    "web.idempotency": "Attempt",
    "web.paging": "Page PageQuery find_page",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "ADMIN",
    "ANYONE",
    "PENDING_INDEX",
    "SIGNED_IN",
    "Api",
    "Attempt",
    "BreakerPolicy",
    "Caller",
    "Collection",
    "Command",
    "DeadlineExceeded",
    "Doc",
    "DomainError",
    "Done",
    "Driver",
    "Duplicate",
    "EmbeddedOutbox",
    "ErrorCategory",
    "Event",
    "Filter",
    "Forbidden",
    "Id",
    "Index",
    "InvalidInput",
    "LatestStateOutbox",
    "Meta",
    "Money",
    "NotAttempted",
    "NotFound",
    "OutcomeUnknown",
    "Page",
    "PageQuery",
    "Part",
    "ProblemResponse",
    "QueryParams",
    "RequestBody",
    "Response",
    "Saga",
    "Schema",
    "Service",
    "ServiceError",
    "SetAside",
    "Settings",
    "Step",
    "StepTimedOut",
    "StreamOutbox",
    "Streams",
    "Subjects",
    "Timestamp",
    "TransientError",
    "Update",
    "UpdateOne",
    "Version",
    "VersionConflict",
    "append_event",
    "fetch",
    "find_page",
    "in_parallel",
    "merge_updates",
    "new_outbox",
    "on_behalf",
    "send",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'chassis' has no attribute {name!r}")
    return getattr(import_module(f"chassis.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
