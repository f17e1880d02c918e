"""Security events: one log line with a stable `event` field, and one counter, for what an operator must notice.

The process whose write decides an event records it. A line names people by id alone: no address, password, token or
code is part of it.
"""

from enum import StrEnum

from chassis.observe.log import log
from chassis.observe.metrics import counter


class SecurityEvent(StrEnum):
    """The names in the field `event` of a log line and in the label `event` of the counter; they are a contract."""

    SIGN_IN_FAILED = "sign_in_failed"
    """A sign-in was refused for a wrong address, password or second factor, or for a locked account."""
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105 - the name of an event
    """A refresh token was used a second time; its session ended."""
    CREDENTIALS_CHANGED = "credentials_changed"
    """A password, an e-mail address or a second factor was set, changed or removed."""
    ADMIN_ACTED = "admin_acted"
    """An administrator or an operator changed the account of another person."""
    ACCOUNT_LOCKED = "account_locked"
    ACCOUNT_UNLOCKED = "account_unlocked"


_MESSAGES = {
    SecurityEvent.SIGN_IN_FAILED: "sign-in failed",
    SecurityEvent.REFRESH_TOKEN_REUSED: "refresh token used twice; its session has ended",
    SecurityEvent.CREDENTIALS_CHANGED: "credentials changed",
    SecurityEvent.ADMIN_ACTED: "administrator acted on another's account",
    SecurityEvent.ACCOUNT_LOCKED: "account locked",
    SecurityEvent.ACCOUNT_UNLOCKED: "account unlocked",
}

security_events = counter("security_events_total", "Security events of accounts", "event")

for _event in SecurityEvent:
    security_events[_event.value].inc(0)  # so that `rate` sees the first of each event


def record(event: SecurityEvent, user_id: str, *, actor: str = "", change: str = "") -> None:
    """Log and count an event of an account.

    `user_id` is the account, "" if the address has none; `actor` is who acted, "" for the owner of the account: the
    id of a user, or `operator` for the command line; `change` says in a word or two what changed or failed, such as
    `password`.
    """
    security_events[event.value].inc()
    log.warning(_MESSAGES[event], event=event.value, userId=user_id, actor=actor, change=change)
