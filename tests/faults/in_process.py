"""All services in one process, over the embedded engines in a folder: a small platform for tests of the checker.

platform = InProcessPlatform(tmp_path)
order = platform.place_order(token="tok_declined")
platform.run_until_idle()
check(dump.read(tmp_path))
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from chassis import calls, clock
from chassis.bus import Topic
from chassis.bus.sqlite.bus import SqliteBus
from chassis.errors import DomainError
from chassis.events import dead_letters
from chassis.events.batch_progress import progress
from chassis.events.consumer import Consumer
from chassis.events.relay import Relay
from chassis.messages import Command
from chassis.money import Money
from chassis.service import Service
from chassis.store import Collection
from chassis.store.sqlite.store import SqliteStore
from mercato.catalog import catalog
from services.inventory import jobs as inventory
from services.orders import checkout
from services.payments import jobs as payments
from services.products import application as products
from services.products.domain import Details
from services.users import application as users


class InProcessPlatform:
    """A platform with one account and one product with `stock` units."""

    def __init__(self, folder: Path, stock: int = 10) -> None:
        self.folder = folder
        (folder / "store").mkdir()
        self.services: dict[str, Service] = {
            name: import_module(f"services.{name}.service").service for name in catalog()
        }
        self.stores = {name: SqliteStore(folder / "store" / f"{name}.db") for name in self.services}
        for name, service in self.services.items():
            for collection in service.collections:
                collection.attach(self.stores[name]).ensure_indexes()
        calls.use(_DirectClient(self.services))  # type: ignore[arg-type]
        self._bus = bus = SqliteBus(folder / "bus.db")
        bus.ensure_topics([Topic(f"{name}.{kind}", 1) for name in self.services for kind in ("events", "dead")])
        self._relays = {name: Relay(each.outboxes, bus, self._leases(name), 10, 0) for name, each in self._all()}
        self._consumers = {
            name: Consumer(
                bus.consumer(name, list({f"{event.service}.events" for event in each.handlers})), each.handlers
            )
            for name, each in self._all()
            if each.handlers
        }
        self.user = users.create(clock.new_id(), "ada@example.com", "Ada", "correct horse")["_id"]
        self.product = products.create(clock.new_id(), Details("Kettle"), Money(1000, "EUR"), stock)["_id"]

    def place_order(self, token: str = "tok_ok", quantity: int = 1) -> str:
        """Place an order; return its id, even if the order is rejected."""
        id = clock.new_id()
        try:
            checkout.place_order(id, self.user, {self.product: quantity}, token)
        except DomainError as error:
            assert error.extra["orderId"] == id
        return id

    def run_until_idle(self) -> None:
        """Run jobs, relays and consumers until none has work left."""
        busy = True
        while busy:
            payments.refund_cancelled_orders()
            inventory.return_cancelled_units()
            busy = False
            for name in self.services:
                self._attach_shared(name)
                busy |= self._relays[name].step() > 0
                if name in self._consumers:
                    busy |= self._consumers[name].step(wait_s=0) > 0

    def close(self) -> None:
        """Close every file, so that the folder can be copied."""
        self._bus.close()
        for store in self.stores.values():
            store.close()

    def _all(self) -> list[tuple[str, Service]]:
        return list(self.services.items())

    def _attach_shared(self, name: str) -> None:
        """Attach the collections that every service has to this service's store."""
        for collection in (dead_letters.collection, progress):
            collection.attach(self.stores[name]).ensure_indexes()

    def _leases(self, name: str) -> Collection:
        leases = Collection("leases")
        leases.attach(self.stores[name]).ensure_indexes()
        return leases


class _DirectClient:
    """A client that calls the command handler of the target service directly."""

    def __init__(self, services: dict[str, Service]) -> None:
        self._services = services

    def send(self, command: Command, key: str, attempts: int, stale_s: float = 0.0) -> Any:
        return self._services[command.service].commands[type(command)](command)
