"""Metrics of mails."""

from chassis.observe.metrics import counter

mails = counter(
    "mails_total", "Attempts to send mails by outcome, mails that failed, and an unavailable server", "outcome"
)

for _outcome in ("sent", "deferred", "refused", "bounced", "unknown", "failed", "unavailable"):
    mails[_outcome].inc(0)  # so that `increase` sees the first of each outcome


def count(outcome: str) -> None:
    """Count an attempt, a mail that failed, or a connection that could not be made."""
    mails[outcome].inc()
