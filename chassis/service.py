"""A service: what it stores, serves, answers, calls, publishes and consumes, said in one place and run from here.

    service = Service("orders")
    service.stores(streams, sagas)
    service.publishes(StreamOutbox("orders", streams))
    service.serves(api)
    service.calls("inventory", "payments")
    service.answers(PriceItems, handlers.price_items)
    service.runs(checkout)
    service.on(PaymentRefunded, handlers.record_refund)
    service.schedules(jobs.expire, every_s=5)
    service.audits("order", invariants.ids, invariants.check)

`application()` is its web process, `worker()` its worker process.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from chassis import calls, gc_tuning
from chassis.audit import Audit, Check, Ids
from chassis.background import retry_until, run_until
from chassis.bus import Bus, Topic
from chassis.bus.engines import open_bus
from chassis.calls.breaker import BreakerPolicy
from chassis.calls.discovery import Resolve, resolver
from chassis.calls.stale import StaleResponses
from chassis.calls.tokens import ServiceTokens
from chassis.events import consumer, dead_letters
from chassis.events.outbox import Outbox
from chassis.events.relay import Relay
from chassis.messages import Command, Event
from chassis.observe import export
from chassis.observe.health import Health
from chassis.observe.log import log
from chassis.sagas.driver import Driver
from chassis.schema import Schema
from chassis.settings import settings
from chassis.store import Collection, Doc, Store
from chassis.store.engines import open_store
from chassis.store.format import UncheckedStore, check_format
from chassis.store.timed import TimedStore

if TYPE_CHECKING:
    from chassis.web.api import Api
    from chassis.web.middleware import Middleware

leases = Collection("leases")

MAX_RESTART_PAUSE_S = 1.0
"""Longest wait before a crashed worker thread runs again."""
JWKS_PATH = "/api/auth/jwks.json"
"""Where a service that issues access tokens serves its public keys."""


class Service:
    """One service. Its name is also that of its package, database, topics and address."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.collections: list[Collection] = [leases]
        self.outboxes: list[Outbox] = []
        self.apis: list[Api] = []
        self.upstreams: tuple[str, ...] = ()
        self.breakers: dict[str, BreakerPolicy] = {}
        self.commands: dict[type[Command], Callable[[Any], Schema | None]] = {}
        self.drivers: list[Driver] = []
        self.handlers: dict[type[Event], consumer.Handler] = {}
        self.scheduled: list[tuple[Callable[[], None], float]] = []
        self.starters: list[Callable[[], None]] = []
        self.events: list[type[Event]] = []
        self.audited: list[Audit] = []
        self._health: Health | None = None
        self._store: Store = UncheckedStore()
        self.replay: Callable[[], Iterator[tuple[str, Doc | None, Doc]]] | None = None
        self._public_keys: Callable[[], Any] = _no_public_keys

    def stores(self, *collections: Collection) -> None:
        self.collections += collections

    def publishes(self, outbox: Outbox, *events: type[Event]) -> None:
        """Publish the pending events of this outbox; `events` are all types it may hold."""
        self.outboxes.append(outbox)
        self.events += events

    def serves(self, api: "Api") -> None:
        from chassis.web import idempotency

        self.apis.append(api)
        if idempotency.records not in self.collections:
            self.stores(idempotency.records)
            self.schedules(idempotency.delete_expired_records, every_s=60)

    def calls(self, *services: str, breaker: BreakerPolicy | None = None) -> None:
        """Declare the services that this one sends commands to or fetches from; `breaker` holds their thresholds."""
        self.upstreams += tuple(name for name in services if name not in self.upstreams)
        if breaker:
            self.breakers |= dict.fromkeys(services, breaker)

    def answers(self, command: type[Command], handler: Callable[[Any], Schema | None]) -> None:
        """Execute a command that other services send; the handler returns its `Reply`."""
        self.commands[command] = handler

    def runs(self, driver: Driver) -> None:
        self.stores(driver.collection)
        self.drivers.append(driver)

    def on(self, event: type[Event], handler: consumer.Handler) -> None:
        """Handle an event with `handler(event, meta)`. It may be delivered twice: the handler uses the inbox."""
        if not self.handlers:
            self.stores(dead_letters.collection, consumer.progress)
            self.outboxes.append(dead_letters.DeadLetterForwarder(self.name))
        self.handlers[event] = handler

    def schedules(self, job: Callable[[], None], every_s: float) -> None:
        """Run a job in the worker process, `every_s` seconds after its last run."""
        self.scheduled.append((job, every_s))

    def starts(self, prepare: Callable[[], None]) -> None:
        """Call this in each process, once its store is open."""
        self.starters.append(prepare)

    def replays(self, replay: Callable[[], Iterator[tuple[str, Doc | None, Doc]]]) -> None:
        """Let `replay` rebuild the read models; it yields (id, document before, document after) for each difference."""
        self.replay = replay

    def audits(self, noun: str, ids: Ids, check: Check) -> None:
        """Let the audit check all objects of this kind: see `chassis.audit.Audit`."""
        self.audited.append(Audit(noun, ids, check))

    def verifies(self, public_keys: str | Callable[[], Any]) -> None:
        """Verify access tokens by these public keys: a function that returns a JWKS, or the service that serves it."""
        from chassis.web.auth import MAX_STALE_KEYS_S

        if isinstance(public_keys, str):
            self.calls(public_keys)
            self._public_keys = lambda: calls.fetch(public_keys, JWKS_PATH, stale_s=MAX_STALE_KEYS_S)
        else:
            stale = StaleResponses()
            self._public_keys = lambda: stale.fall_back(self.name, JWKS_PATH, public_keys, MAX_STALE_KEYS_S)

    def open(self, process: str) -> Health:
        """Open the store, the client for other services and the health port of this process, after any fork."""
        log.setup(self.name, process, settings().log_level)
        export.start(self.name, process)
        self._store = TimedStore(open_store(settings(), self.name))
        for collection in self.collections:
            collection.attach(UncheckedStore())
        client = calls.Client(self._tokens(), resolver_for, settings().threads, settings().balancing, self.breakers)
        calls.use(client)
        self._health = Health(self.name, self._store.ping)
        self._health.serve(settings().host, settings().health_port)
        return self._health

    def application(self) -> "Middleware":
        """Return the WSGI app, in the web process after the fork. Until the store is ready, it answers 503."""
        from chassis.web.app import make_app
        from chassis.web.auth import Verifier

        health = self.open("web")

        def prepare() -> None:
            self._prepare(threading.Event())
            gc_tuning.relax_after_startup()
            health.started = True
            log.info("web process is ready", port=settings().port, healthPort=settings().health_port)

        threading.Thread(target=_exit_process_on_system_exit, args=(prepare,), name="preparing", daemon=True).start()
        return make_app(self.name, self.apis, self.commands, Verifier(self._public_keys), self._tokens())

    def drain(self) -> None:
        """Report not ready: requests under way finish, and no new ones should arrive."""
        if self._health:
            self._health.draining = True

    def worker(self) -> None:
        """Run relay, consumer, sagas and scheduled jobs until SIGTERM; then finish what is under way."""
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        health = self.open("worker")
        self._prepare(stop)
        bus = open_bus(settings())
        threads = [
            threading.Thread(target=self._restart_on_crash, args=(run, stop), name=name)
            for name, run in self._worker_threads(bus)
        ]
        for thread in threads:
            thread.start()
        gc_tuning.relax_after_startup()
        health.started = True
        log.info("worker process is ready", jobs=[thread.name for thread in threads])
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
            check_format(self._store)
            for collection in self.collections:
                collection.attach(self._store).ensure_indexes()
            for start in self.starters:
                start()

        retry_until(stop, prepare, "store cannot be prepared", retry_on=Exception)

    def _jobs(self, bus: Bus) -> list[tuple[str, Callable[[threading.Event], None]]]:
        jobs: list[tuple[str, Callable[[threading.Event], None]]] = []
        if self.outboxes:
            relay = Relay(self.outboxes, bus, leases, settings().lease, settings().relay_pause)
            jobs.append(("relay", partial(self._run_after_topics_exist, bus, relay.run)))
        if self.handlers:
            jobs.append(("consumer", partial(self._run_after_topics_exist, bus, self._consumer(bus).run)))
        for driver in self.drivers:
            jobs.append((f"saga {driver.saga.name}", driver.run))
        for job, every_s in self.scheduled:
            jobs.append((job.__name__, partial(_repeat, job, every_s)))
        return jobs

    def _consumer(self, bus: Bus) -> consumer.Consumer:
        topics = sorted({f"{event.service}.events" for event in self.handlers})
        return consumer.Consumer(bus.consumer(self.name, topics), self.handlers)

    def _restart_on_crash(self, job: Callable[[threading.Event], None], stop: threading.Event) -> None:
        """Run a job, and restart it if it crashes: a worker with a dead job would look alive and do nothing."""
        retry_until(
            stop, lambda: job(stop), "worker job crashed", retry_on=Exception, max_backoff_s=MAX_RESTART_PAUSE_S
        )

    def _run_after_topics_exist(self, bus: Bus, job: Callable[[threading.Event], None], stop: threading.Event) -> None:
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

    run_until(stop, step, "job failed", max_backoff_s=every_s)


def _exit_process_on_system_exit(prepare: Callable[[], None]) -> None:
    """Run it in a thread of the web process; a SystemExit ends gunicorn, where a thread alone would end silently."""
    from gunicorn.arbiter import Arbiter

    try:
        prepare()
    except SystemExit as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(Arbiter.APP_LOAD_ERROR)  # at any other code the arbiter would start another worker


def _no_public_keys() -> Any:
    return {"keys": []}


def resolver_for(callee: str) -> Resolve:
    """Return how this process finds another service: by ADDRESSES, else by DNS."""
    return resolver(callee, settings().addresses.get(callee, ""))
