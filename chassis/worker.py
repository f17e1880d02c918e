"""The jobs of a worker process: relay, consumer, migration, sagas, and what a service schedules; each has a thread."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from chassis import clock
from chassis.background import retry_until, run_until
from chassis.bus import Bus, BusUnavailable, Topic
from chassis.events.consumer import Consumer
from chassis.events.relay import Relay
from chassis.observe import metrics
from chassis.settings import settings
from chassis.store import Collection, Store, migration

if TYPE_CHECKING:
    from chassis.service import Service

Job = Callable[[threading.Event], None]
"""Runs until the event is set."""

leases = Collection("leases")

PURGE_EVERY_S = 3.0
"""Seconds between two purges of deleted data from the files of an embedded store."""


def worker_jobs(service: "Service", bus: Bus, store: Store) -> Iterator[tuple[str, Job]]:
    """Yield the name of each job, and the job."""
    if service.outboxes:
        relay = Relay(service.outboxes, bus, leases, settings().lease, settings().relay_pause)
        yield "relay", partial(_run_after_topics_exist, service, bus, relay.run)
    if service.handlers:
        topics = sorted({f"{event.service}.events" for event in service.handlers})
        consumer = Consumer(bus.consumer(service.name, topics), service.handlers)
        yield "consumer", partial(_run_after_topics_exist, service, bus, consumer.run)
    if service.versioned:
        yield "migration", partial(migration.run, service.versioned)
    for driver in service.drivers:
        yield f"saga {driver.saga.name}", driver.run
    yield "purge", partial(_repeat, store.purge_deleted, PURGE_EVERY_S)
    for work, every_s in service.scheduled:
        yield work.__name__, partial(_repeat, work, every_s)


def _run_after_topics_exist(service: "Service", bus: Bus, run: Job, stop: threading.Event) -> None:
    """Create the topics, then run; other jobs run while the message bus is unavailable."""
    own = {f"{service.name}.events", f"{service.name}.dead"}
    names = sorted(own | {f"{event.service}.events" for event in service.handlers})
    topics = [Topic(name, settings().partitions, settings().retention) for name in names]

    def create_topics() -> None:
        started_at = clock.monotonic()
        try:
            bus.ensure_topics(topics)
        except BusUnavailable:
            metrics.bus_outage.failed(started_at)
            raise

    retry_until(stop, create_topics, "message bus unavailable")
    metrics.bus_outage.succeeded()
    run(stop)


def _repeat(work: Callable[[], None], every_s: float, stop: threading.Event) -> None:
    def step() -> float:
        work()
        return every_s

    run_until(stop, step, "job failed", max_backoff_s=every_s)
