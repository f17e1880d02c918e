"""Users: accounts, sessions, and the keys that sign access tokens."""

from chassis.events.outbox import EmbeddedOutbox
from chassis.service import Service
from chassis.web import idempotency, limits
from services.users import application, jobs, keys, repository, sessions
from services.users.api import api
from services.users.messages import CheckBuyer, SessionsRevoked, UserCreated, UserDeleted, UserUpdated

service = Service("users")
service.stores(repository.accounts, sessions.refresh_token_families, keys.signing_keys, limits.counters)
service.publishes(EmbeddedOutbox("users", repository.accounts), UserCreated, UserUpdated, UserDeleted, SessionsRevoked)
service.serves(api)
service.answers(CheckBuyer, application.check_buyer)
service.starts(keys.prepare)
service.verifies(keys.public_keys)
service.schedules(keys.rotate, every_s=60)
service.schedules(sessions.delete_expired, every_s=60)
service.schedules(jobs.erasure_job(idempotency.forget), every_s=5)
service.schedules(limits.delete_ended_windows, every_s=60)
