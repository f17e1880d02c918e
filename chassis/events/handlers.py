"""The handlers of a consumer: finds the handler of an event, and calls it."""

import sys
import traceback
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from chassis import clock
from chassis.bus import Record
from chassis.errors import TransientError
from chassis.events import envelope
from chassis.events.envelope import Meta
from chassis.messages import Event
from chassis.observe import metrics, trace
from chassis.observe.guarded import guarded, guarded_span
from chassis.observe.log import log
from chassis.observe.trace import Span

MAX_ATTEMPTS = 3
FAILURES = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError)
"""What the processing of a record may raise without ending the process: SystemExit ends only a thread."""

Handler = Callable[[Any, Meta], None]


class HandlerFailed(Exception):
    """An event could not be handled. `attempts` is how often the handler was called, or 1 if the data is not valid."""

    def __init__(self, reason: str, attempts: int) -> None:
        super().__init__(reason)
        self.attempts = attempts


@dataclass(frozen=True)
class Handling:
    """The handler of an event type, ready to be called."""

    event: type[Event]
    handler: Handler
    group: str
    """The consumer group, for spans."""

    @property
    def name(self) -> str:
        return getattr(self.handler, "__qualname__", repr(self.handler))

    def call(self, meta: Meta, data: Any, record: Record) -> None:
        """Call the handler, up to three times. Raises HandlerFailed, TransientError."""
        with guarded_span(lambda: self._start_span(meta, record)) as span:
            with guarded():
                trace.bind(**{to_camel(self.event.key): meta.subject})
            error, attempts = self._attempt(meta, data, record.topic)
            if error is None:
                return
            with guarded():
                span.set_error(type(error).__name__)
        raise HandlerFailed(describe(error), attempts) from error

    def _start_span(self, meta: Meta, record: Record) -> Span:
        attributes = {
            **envelope.span_attributes("process", record.topic),
            "messaging.consumer.group.name": self.group,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "cloudevents.event_type": meta.type,
        }
        return trace.continue_trace(meta.traceparent, f"process {record.topic}", "consumer", attributes)

    def _attempt(self, meta: Meta, data: Any, topic: str) -> tuple[BaseException | None, int]:
        """Return the error of the last attempt, or None if it succeeded, and the number of attempts."""
        try:
            event = self.event.read(data)
        except ValidationError as error:
            return error, 1
        attempts = 0
        while True:
            attempts += 1
            try:
                self.handler(event, meta)
                return None, attempts
            except TransientError:
                raise
            except FAILURES as error:
                shown = describe(error) if isinstance(error, ValidationError) else error
                log.error("event handler failed", eventId=meta.id, attempt=attempts, error=shown)
                if attempts == MAX_ATTEMPTS:
                    return error, attempts
            with guarded():
                metrics.consumer_events[topic, "retried"].inc()
            clock.sleep(0.2 * 2**attempts * (0.5 + clock.random() / 2))


class Handlers:
    """The handlers of a consumer, by event type."""

    def __init__(self, handlers: Mapping[type[Event], Handler], group: str) -> None:
        self._handlers = {event.type: Handling(event, handler, group) for event, handler in handlers.items()}
        self._declared_types = {
            item.type
            for event in handlers
            for item in vars(sys.modules[event.__module__]).values()
            if isinstance(item, type) and issubclass(item, Event) and item.type
        }

    def find(self, type: str) -> Handling | None:
        return self._handlers.get(type)

    def is_declared(self, type: str) -> bool:
        """Whether a service whose events this consumer handles declares this type."""
        return type in self._declared_types


def describe(error: BaseException) -> str:
    """Return the type and text of an error; for a ValidationError its fields, without their values."""
    if isinstance(error, ValidationError):
        fields = (".".join(map(str, each["loc"])) or "no object" for each in error.errors())
        return f"invalid data: {', '.join(fields)}"
    return "".join(traceback.format_exception_only(error)).strip()
