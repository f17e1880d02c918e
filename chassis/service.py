"""A service: what it stores, serves, answers, calls, publishes and consumes, said in one place and run from here.

    service = Service("orders")
    service.stores(streams, sagas)
    service.publishes(StreamOutbox("orders", streams))
    service.serves(api)
    service.calls("inventory", "payments")
    service.answers(PriceItems, handlers.price_items)
    service.runs(checkout)
    service.on(PaymentRefunded, handlers.note_refund)
    service.sweeps(handlers.expire, every=5)
    service.audits("order", audit.ids, audit.judge)

`application()` is its web process, `worker()` its worker.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from chassis import calls, gc_tuning
from chassis.audit import Audit, Ids, Judge
from chassis.background import retry_until, run_until
from chassis.bus import Bus, Topic
from chassis.bus.engines import open_bus
from chassis.calls.discovery import Resolve, resolver
from chassis.calls.tokens import ServiceTokens
from chassis.events import consumer, dead_letters
from chassis.events.outbox import Outbox
from chassis.events.relay import Relay
from chassis.messages import Command, Event
from chassis.observe import records, trace
from chassis.observe.health import Health
from chassis.observe.log import log
from chassis.sagas.driver import Driver
from chassis.schema import Schema
from chassis.settings import settings
from chassis.store import Collection, Doc
from chassis.store.engines import open_store
from chassis.store.format import check_format
from chassis.store.timed import Timed

if TYPE_CHECKING:
    from chassis.web.api import Api
    from chassis.web.middleware import Middleware

leases = Collection("leases")


class Service:
    """One service of the platform, by the name that everything has: package, database, topic, address."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.collections: list[Collection] = [leases]
        self.outboxes: list[Outbox] = []
        self.apis: list[Api] = []
        self.callees: tuple[str, ...] = ()
        self.commands: dict[type[Command], Callable[[Any], Schema | None]] = {}
        self.drivers: list[Driver] = []
        self.handlers: dict[type[Event], consumer.Handler] = {}
        self.sweepers: list[tuple[Callable[[], None], float]] = []
        self.starters: list[Callable[[], None]] = []
        self.events: list[type[Event]] = []
        self.audited: list[Audit] = []
        self._health: Health | None = None
        self.replay: Callable[[], Iterator[tuple[str, Doc | None, Doc]]] | None = None
        self._public_keys: Callable[[], Any] = lambda: calls.fetch("users", "/api/auth/jwks.json")

    def stores(self, *collections: Collection) -> None:
        self.collections += collections

    def publishes(self, outbox: Outbox, *events: type[Event]) -> None:
        """Publish what waits in this outbox; `events` are the types that may."""
        self.outboxes.append(outbox)
        self.events += events

    def serves(self, api: "Api") -> None:
        from chassis.web import idempotency

        self.apis.append(api)
        if idempotency.records not in self.collections:
            self.stores(idempotency.records)
            self.sweeps(idempotency.sweep_records, every=60)

    def calls(self, *services: str) -> None:
        self.callees += services

    def answers(self, command: type[Command], handler: Callable[[Any], Schema | None]) -> None:
        """Carry out a command that another service sends."""
        self.commands[command] = handler

    def runs(self, driver: Driver) -> None:
        self.stores(driver.collection)
        self.drivers.append(driver)

    def on(self, event: type[Event], handler: consumer.Handler) -> None:
        """Handle an event as handler(event, meta), exactly once in effect if it keeps to the inbox."""
        if not self.handlers:
            self.stores(dead_letters.collection, consumer.progress)
            self.outboxes.append(dead_letters.DeadLetterForwarder(self.name))
        self.handlers[event] = handler

    def sweeps(self, sweep: Callable[[], None], every: float) -> None:
        """Call this in the worker, every so many seconds."""
        self.sweepers.append((sweep, every))

    def starts(self, prepare: Callable[[], None]) -> None:
        """Call this once the stores are open, in each process."""
        self.starters.append(prepare)

    def replays(self, replay: Callable[[], Iterator[tuple[str, Doc | None, Doc]]]) -> None:
        """Rebuild the read models with this, yielding (id, as it was, as it must be) of each that differed."""
        self.replay = replay

    def audits(self, noun: str, ids: Ids, judge: Judge) -> None:
        """Let `mercato audit` look over all of these: see `chassis.audit.Audit`."""
        self.audited.append(Audit(noun, ids, judge))

    def verifies(self, public_keys: Callable[[], Any]) -> None:
        """Take the public keys of users' tokens from here instead of from `users`."""
        self._public_keys = public_keys

    def open(self, process: str) -> Health:
        """Use the store and the client of the other services in this process, after any fork; answer for its health."""
        log.setup(self.name, process, settings().log_level)
        records.begin(self.name, process)
        trace.begin(self.name)
        store = Timed(open_store(settings(), self.name))
        for collection in self.collections:
            collection.attach(store)
        calls.use(calls.Client(self._tokens(), resolved, settings().threads, settings().balancing))
        self._health = Health(self.name, store.ping)
        self._health.serve(settings().host, settings().health_port)
        return self._health

    def application(self) -> "Middleware":
        """The WSGI app, called in the web process after the fork. It is ready as soon as the store is, and answers 503
        until then.
        """
        from chassis.web.app import make_app
        from chassis.web.auth import Verifier

        health = self.open("web")

        def prepare() -> None:
            self._prepare(threading.Event())
            gc_tuning.relax_after_startup()
            health.started = True
            log.info("web is ready", port=settings().port, healthPort=settings().health_port)

        threading.Thread(target=_or_exit, args=(prepare,), name="preparing", daemon=True).start()
        return make_app(self.name, self.apis, self.commands, Verifier(self._public_keys), self._tokens())

    def drain(self) -> None:
        """Be no longer ready: what is under way is finished, and nothing new should come."""
        if self._health:
            self._health.draining = True

    def worker(self) -> None:
        """Relay, consume, drive sagas and sweep until SIGTERM; then finish what is begun, and leave."""
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        health = self.open("worker")
        self._prepare(stop)
        bus = open_bus(settings())
        threads = [threading.Thread(target=self._guarded, args=(job, stop), name=name) for name, job in self._jobs(bus)]
        for thread in threads:
            thread.start()
        gc_tuning.relax_after_startup()
        health.started = True
        log.info("worker is ready", jobs=[thread.name for thread in threads])
        stop.wait()
        self.drain()
        for thread in threads:
            thread.join(settings().shutdown)
        bus.close()

    def _prepare(self, stop: threading.Event) -> None:
        """Create the indexes and call what the service starts with; retry while the store is unavailable.

        Raises SystemExit where the stored data has another format.
        """

        def prepare() -> None:
            check_format(leases.store)
            for collection in self.collections:
                collection.ensure_indexes()
            for start in self.starters:
                start()

        retry_until(stop, prepare, "store cannot be prepared", retry_on=Exception)

    def _jobs(self, bus: Bus) -> list[tuple[str, Callable[[threading.Event], None]]]:
        jobs: list[tuple[str, Callable[[threading.Event], None]]] = []
        if self.outboxes:
            relay = Relay(self.outboxes, bus, leases, settings().lease, settings().relay_pause)
            jobs.append(("relay", partial(self._once_topics_are, bus, relay.run)))
        if self.handlers:
            jobs.append(("consumer", partial(self._once_topics_are, bus, self._consumer(bus).run)))
        for driver in self.drivers:
            jobs.append((f"saga {driver.saga.name}", driver.run))
        for sweep, every in self.sweepers:
            jobs.append((sweep.__name__, partial(_repeat, sweep, every)))
        return jobs

    def _consumer(self, bus: Bus) -> consumer.Consumer:
        topics = sorted({f"{event.service}.events" for event in self.handlers})
        return consumer.Consumer(bus.consumer(self.name, topics), self.handlers)

    def _guarded(self, job: Callable[[threading.Event], None], stop: threading.Event) -> None:
        """Run a job, and restart it if it crashes: a worker with a dead job would look alive and do nothing."""
        retry_until(stop, lambda: job(stop), "worker job crashed", retry_on=Exception)

    def _once_topics_are(self, bus: Bus, job: Callable[[threading.Event], None], stop: threading.Event) -> None:
        """Create the topics, then run the job; other jobs run while the message bus is unavailable."""
        retry_until(stop, lambda: self._make_topics(bus), "message bus unavailable")
        job(stop)

    def _make_topics(self, bus: Bus) -> None:
        names = {f"{self.name}.events", f"{self.name}.dead", *(f"{event.service}.events" for event in self.handlers)}
        bus.ensure_topics([Topic(name, settings().partitions, settings().retention) for name in sorted(names)])

    def _tokens(self) -> ServiceTokens:
        secret = settings().platform_secret.get_secret_value()
        return ServiceTokens(self.name, secret, settings().allowed_callers)


def _repeat(job: Callable[[], None], every_s: float, stop: threading.Event) -> None:
    def step() -> float:
        job()
        return every_s

    run_until(stop, step, "job failed")


def _or_exit(prepare: Callable[[], None]) -> None:
    """Run it in a thread of the web process; a SystemExit ends gunicorn, where a thread alone would end silently."""
    from gunicorn.arbiter import Arbiter

    try:
        prepare()
    except SystemExit as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(Arbiter.APP_LOAD_ERROR)  # at any other code the arbiter would start another worker


def resolved(callee: str) -> Resolve:
    """How this process finds another service."""
    return resolver(callee, settings().addresses.get(callee, ""))
