"""Metrics of mails."""

from chassis.observe.metrics import counter

mails = counter(
    "mails_total", "Attempts to send mails by outcome, mails given up or suppressed, connections not made", "outcome"
)

for _outcome in ("sent", "deferred", "refused", "bounced", "unknown", "given_up", "suppressed", "unavailable"):
    mails[_outcome].inc(0)  # so that `increase` sees the first of each outcome


def count(outcome: str) -> None:
    """Count an attempt, a mail that is not tried any more, or a connection that could not be made."""
    mails[outcome].inc()
