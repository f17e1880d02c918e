"""Users: accounts, sessions, and the keys that sign access tokens."""

from chassis import failure_limits
from chassis.events.outbox import EmbeddedOutbox
from chassis.service import Service
from chassis.web import idempotency, limits
from services.users import (
    access,
    account_mails,
    administration,
    administration_api,
    application,
    auth_api,
    export,
    export_api,
    jobs,
    keys,
    recovery_api,
    repository,
    second_factor,
    second_factor_api,
    sessions,
)
from services.users.api import api
from services.users.messages import (
    CheckBuyer,
    GetAccess,
    GetBuyer,
    SessionsRevoked,
    StopAdvertising,
    UserCreated,
    UserDeleted,
    UserUpdated,
)

service = Service("users")
service.stores(repository.accounts, sessions.refresh_token_families, keys.signing_keys, limits.counters)
service.stores(administration.first_administrator, account_mails.account_mails, failure_limits.failures)
service.publishes(EmbeddedOutbox("users", repository.accounts), UserCreated, UserUpdated, UserDeleted, SessionsRevoked)
service.serves(api)
service.serves(auth_api.api)
service.serves(administration_api.api)
service.serves(second_factor_api.api)
service.serves(recovery_api.api)
service.serves(export_api.api)
service.calls("orders", "payments", "notifications", "carts")
service.exports(*export.OWN)
service.answers(CheckBuyer, application.check_buyer)
service.answers(GetBuyer, application.get_buyer)
service.answers(StopAdvertising, application.stop_advertising)
service.starts(keys.prepare)
service.issues_tokens(keys.public_keys, GetAccess, access.get_access)
service.schedules(keys.rotate, every_s=60)
service.schedules(second_factor.renew_encryption, every_s=60)
service.schedules(sessions.delete_expired, every_s=60)
service.schedules(account_mails.send_account_mails, every_s=0.5)
service.schedules(account_mails.delete_expired, every_s=60)
service.schedules(access.finish_endings, every_s=5)
service.schedules(jobs.erasure_job(idempotency.forget), every_s=5)
service.schedules(limits.delete_ended_windows, every_s=60)
service.schedules(failure_limits.delete_forgotten, every_s=60)
