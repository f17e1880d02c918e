"""Users: accounts, credentials, refresh-token families, signing keys."""

from chassis.events.outbox import EmbeddedOutbox
from chassis.service import Service
from chassis.web import limits
from services.users import handlers, keys, sessions
from services.users.api import api
from services.users.messages import CheckBuyer, UserCreated, UserDeleted, UserUpdated

service = Service("users")
service.stores(handlers.accounts, sessions.families, keys.signing, limits.counters)
service.publishes(EmbeddedOutbox("users", handlers.accounts), UserCreated, UserUpdated, UserDeleted)
service.serves(api)
service.answers(CheckBuyer, handlers.check_buyer)
service.starts(keys.prepare)
service.verifies(keys.public_keys)
service.sweeps(keys.rotate, every=60)
service.sweeps(sessions.sweep_families, every=60)
service.sweeps(handlers.clear_leftovers, every=5)
service.sweeps(limits.sweep_counters, every=60)
