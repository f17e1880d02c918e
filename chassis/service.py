"""A service: what it stores, serves, answers, calls, publishes and consumes, declared in one place and run from here.

    service = Service("orders")
    service.stores(repository.streams, projection.summaries)
    service.publishes(StreamOutbox("orders", repository.streams), *domain.EVENTS)
    service.serves(api)
    service.verifies("users", access=GetAccess)
    service.revokes(UserDeleted, SessionsRevoked)
    service.calls("users", "products", "inventory", "payments")
    service.runs(checkout.driver)
    service.replays(projection.rebuild)
    service.on(PaymentRefunded, handlers.on_payment_refunded)
    service.audits("order", invariants.order_ids, invariants.check_orders)

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
from chassis.access import AccessQuery
from chassis.audit import Audit, Check, Ids
from chassis.background import Jobs, retry_until
from chassis.blobs import Blobs
from chassis.blobs.engines import open_blobs
from chassis.bus.engines import open_bus
from chassis.calls.breaker import BreakerPolicy
from chassis.calls.discovery import Resolve, resolver
from chassis.calls.tokens import ServiceTokens
from chassis.events import dead_letters, set_aside
from chassis.events.batch_progress import progress
from chassis.events.envelope import Meta
from chassis.events.handlers import Handler
from chassis.events.outbox import Outbox
from chassis.messages import Command, Event
from chassis.observe import export
from chassis.observe.health import Health
from chassis.observe.log import log
from chassis.personal_data import ExportQuery, PersonalData, export_page
from chassis.sagas.driver import Driver
from chassis.schema import Schema
from chassis.settings import settings
from chassis.store import Collection, Doc, Store, migration
from chassis.store.engines import open_store
from chassis.store.format import CheckedStore, check_format
from chassis.store.timed import TimedStore
from chassis.worker import leases, worker_jobs

if TYPE_CHECKING:
    from chassis.web.access import GetRole
    from chassis.web.api import Api
    from chassis.web.middleware import Middleware
    from chassis.web.pages import Pages

JWKS_PATH = "/api/auth/jwks.json"
"""Where a service that issues access tokens serves its public keys."""


class Service:
    """One service. Its name is also that of its package, database, topics and address.

    A stateless one has no store and no worker: it serves pages or routes over those of other services.
    """

    def __init__(self, name: str, stateless: bool = False) -> None:
        self.name, self._stateless = name, stateless
        self.collections: list[Collection] = [leases, set_aside.entries]
        self.blobs: list[Blobs] = []
        self.outboxes: list[Outbox] = []
        self.apis: list[Api] = []
        self.pages: Pages | None = None
        self.upstreams: tuple[str, ...] = ()
        self.breakers: dict[str, BreakerPolicy] = {}
        self.commands: dict[type[Command], Callable[[Any], Schema | None]] = {}
        self.drivers: list[Driver] = []
        self.handlers: dict[type[Event], Handler] = {}
        self.scheduled: list[tuple[Callable[[], None], float]] = []
        self.starters: list[Callable[[], None]] = []
        self.events: list[type[Event]] = []
        self.audited: list[Audit] = []
        self.personal: list[PersonalData] = []
        self.traced_ids: tuple[str, ...] = ()
        self._health: Health | None = None
        self._store: Store
        self.replay: Callable[[], Iterator[tuple[str, Doc | None, Doc]]] | None = None
        self._public_keys: Callable[[], Any] = _no_public_keys
        self._token_issuer = name
        self._access_query: type[AccessQuery] = AccessQuery
        self._get_role: GetRole | None = None
        self.revoking_events: tuple[type[Event], ...] = ()

    def stores(self, *collections: Collection) -> None:
        """Declare collections; each process creates their indexes when it starts.

        The worker process migrates the documents of collections with versions.
        """
        self.collections += collections
        if self.versioned and migration.records not in self.collections:
            self.collections.append(migration.records)

    def stores_blobs(self, *blobs: Blobs) -> None:
        """Declare that the service stores blobs."""
        self.blobs += blobs

    @property
    def versioned(self) -> list[Collection]:
        """The collections that have versions."""
        return [collection for collection in self.collections if collection.versions]

    def publishes(self, outbox: Outbox, *events: type[Event]) -> None:
        """Declare an outbox whose pending events the relay publishes; `events` are all types that it may hold."""
        self.outboxes.append(outbox)
        self.events += events

    def serves(self, api: "Api") -> None:
        """Declare the routes of the web process."""
        from chassis.web import idempotency

        self.apis.append(api)
        if idempotency.records not in self.collections:
            self.stores(idempotency.records)
            self.schedules(idempotency.delete_expired_records, every_s=60)

    def serves_pages(self, pages: "Pages") -> None:
        """Declare the pages of the web process."""
        self.pages = pages

    def calls(self, *services: str, breaker: BreakerPolicy | None = None) -> None:
        """Declare the services that this one sends commands to or fetches from, and the policy of their breakers."""
        self.upstreams += tuple(name for name in services if name not in self.upstreams)
        if breaker:
            self.breakers |= dict.fromkeys(services, breaker)

    def answers(self, command: type[Command], handler: Callable[[Any], Schema | None]) -> None:
        """Register the handler of a command that other services send; it returns the `Reply` of the command."""
        self.commands[command] = handler

    def exports(self, *personal: PersonalData, query: type[ExportQuery] | None = None) -> None:
        """Declare which documents are about a person, and the command that returns them.

        A collection that names persons and is not declared fails a test. The service that collects the exports of all
        has no `query`.
        """
        self.personal += personal
        if query:
            self.answers(query, partial(export_page, self.personal))

    def runs(self, driver: Driver) -> None:
        """Register the driver of a saga; the worker process resumes the sagas that are due."""
        self.stores(driver.collection)
        self.drivers.append(driver)

    def on(self, event: type[Event], handler: Handler) -> None:
        """Register `handler(event, meta)` for an event. Events may be redelivered, so the handler uses the inbox."""
        if not self.handlers:
            self.stores(dead_letters.collection, dead_letters.discarded, progress)
            self.outboxes.append(dead_letters.DeadLetterForwarder(self.name))
        if event in self.revoking_events:
            from chassis.web.revocations import recording

            handler = recording(handler)
        self.handlers[event] = handler

    def schedules(self, job: Callable[[], None], every_s: float) -> None:
        """Register a job.

        Every worker replica runs it, `every_s` seconds after its last run ended, so it must tolerate concurrent runs.
        """
        self.scheduled.append((job, every_s))

    def traces(self, *ids: str) -> None:
        """Declare ids of log lines, such as `orderId`, that spans have as `order.id`; never those of a person."""
        self.traced_ids += ids

    def starts(self, prepare: Callable[[], None]) -> None:
        """Register a function that each process calls when it starts, once the store is available."""
        self.starters.append(prepare)

    def replays(self, replay: Callable[[], Iterator[tuple[str, Doc | None, Doc]]]) -> None:
        """Register the function that rebuilds the read models.

        It yields (id, document before, document after) for each difference.
        """
        self.replay = replay

    def audits(self, noun: str, ids: Ids, check: Check) -> None:
        """Register the audit of all objects of a kind: see `chassis.audit.Audit`."""
        self.audited.append(Audit(noun, ids, check))

    def verifies(self, issuer: str, access: type[AccessQuery]) -> None:
        """Declare the service that issues access tokens, serves their JWKS, and answers which role a user has now."""
        self.calls(issuer)
        self._token_issuer, self._access_query = issuer, access
        self._public_keys = lambda: calls.fetch(issuer, JWKS_PATH)

    def issues_tokens(self, public_keys: Callable[[], Any], query: type[AccessQuery], get_role: "GetRole") -> None:
        """Declare that this service issues access tokens; it answers `query`, and calls `get_role` at every request."""
        self._public_keys, self._access_query, self._get_role = public_keys, query, get_role
        self.answers(query, get_role)

    def revokes(self, *events: type[Event]) -> None:
        """Declare the events of the token issuer that end access tokens; each is a `chassis.access.RevokingEvent`."""
        from chassis.web import revocations

        self.stores(revocations.revocations)
        self.schedules(revocations.delete_expired_revocations, every_s=60)
        self.revoking_events += events
        for event in events:
            self.on(event, self.handlers.get(event, _do_nothing))

    def open(self, process: str) -> Health:
        """Open the store, the client for other services and the health port of this process, after any fork."""
        log.setup(self.name, process, settings().log_level)
        export.start(self.name, process, self.traced_ids)
        if not self._stateless:
            self._open_store()
        client = calls.Client(self._tokens(), resolver_for, settings().threads, settings().balancing, self.breakers)
        calls.use(client)
        self._health = Health(self.name, _do_not_ping if self._stateless else self._store.ping)
        self._health.serve(settings().host, settings().health_port)
        return self._health

    def _open_store(self) -> None:
        self._store = TimedStore(open_store(settings(), self.name))
        checked = CheckedStore(self._store, settings().prefix, settings().installation)
        for collection in self.collections:
            collection.attach(checked)
        for blobs in self.blobs:
            blobs.attach(open_blobs(settings(), self.name))

    def application(self) -> "Middleware":
        """Return the WSGI app, in the web process after the fork. Until the store is ready, it answers 503."""
        from chassis.web.access import Access
        from chassis.web.app import make_app
        from chassis.web.auth import Verifier
        from chassis.web.revocations import KnownRevocations

        health = self.open("web")
        known = KnownRevocations() if self.revoking_events else None

        def prepare() -> None:
            self._prepare(threading.Event())
            if known is not None:
                jobs = Jobs(threading.Event())
                jobs.add("revocations", known.follow)
                jobs.start()
                health.crash_looping = jobs.crash_looping
            gc_tuning.relax_after_startup()
            health.started = True
            log.info("web process is ready", port=settings().port, healthPort=settings().health_port)

        threading.Thread(target=_exit_process_on_system_exit, args=(prepare,), name="preparing", daemon=True).start()
        verifier = Verifier(self._public_keys, self._token_issuer)
        access = Access(verifier, self._access_query, self._get_role, known)
        return make_app(self.name, self.apis, self.commands, access, self._tokens(), self.pages)

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
        jobs = Jobs(stop)
        for job, run in worker_jobs(self, bus, self._store):
            jobs.add(job, run)
        jobs.start()
        health.crash_looping = jobs.crash_looping
        gc_tuning.relax_after_startup()
        health.started = True
        log.info("worker process is ready", jobs=[thread.name for thread in jobs.threads])
        stop.wait()
        self.drain()
        if late := jobs.join(settings().shutdown):
            log.error("jobs did not end in time; others take over after their leases", jobs=late)
        bus.close()

    def _prepare(self, stop: threading.Event) -> None:
        """Check the storage format, create the indexes and call the start functions. Retry after any exception.

        Raises SystemExit if the stored data has another format.
        """

        def prepare() -> None:
            if not self._stateless:
                check_format(self._store, settings().prefix, settings().installation)
                for collection in self.collections:
                    collection.attach(self._store).ensure_indexes()
            for start in self.starters:
                start()

        retry_until(stop, prepare, "store cannot be prepared", retry_on=Exception)

    def _tokens(self) -> ServiceTokens:
        secret, *accepted = settings().platform_secrets
        return ServiceTokens(self.name, secret, accepted)


def _exit_process_on_system_exit(prepare: Callable[[], None]) -> None:
    """Call `prepare` in a thread of the web process; SystemExit, which would end only the thread, ends gunicorn."""
    from gunicorn.arbiter import Arbiter

    try:
        prepare()
    except SystemExit as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(Arbiter.APP_LOAD_ERROR)  # at any other code the arbiter would start another worker


def _do_not_ping() -> None:
    """Be ready without a store."""


def _do_nothing(event: Event, meta: Meta) -> None:
    """Handle an event that only revokes access tokens."""


def _no_public_keys() -> Any:
    return {"keys": []}


def resolver_for(service: str) -> Resolve:
    """Return how this process finds another service: by ADDRESSES, else by DNS."""
    return resolver(service, settings().addresses.get(service, ""))
