"""Outboxes and their relays, consumers, dead letters, mails."""

from board import board, row
from looks import PER_S, outcomes
from panels import OF_SERIES, timeseries
from queries import largest, quantile, rate, total

OUTBOX = "{{service}} {{collection}}: "


def consumed(outcome: str) -> str:
    """Return the rate of the events with this outcome, 0 where there is none."""
    metric, by = "mercato_consumer_events_total", "service, topic"
    chosen = f'outcome="{outcome}"'
    return f"{rate(metric, by, chosen)} or 0 * {rate(metric, by)}"


events = board(
    "events",
    "events",
    [
        row(
            "Outbox and relay",
            [
                timeseries(
                    "Pending events",
                    OUTBOX + total("mercato_outbox_pending", "service, collection"),
                    about="Events of each outbox that the message bus has not acknowledged yet.",
                    service=OF_SERIES,
                    width=12,
                ),
                timeseries(
                    "Oldest pending event",
                    OUTBOX + largest("mercato_outbox_oldest_age_seconds", "service, collection"),
                    about="Age of the oldest pending event; above 30 s an alert fires.",
                    unit="s",
                    service=OF_SERIES,
                    width=12,
                    limit=30,
                ),
                timeseries(
                    "Published events",
                    OUTBOX + rate("mercato_relay_published_total", "service, collection"),
                    about="Events per second that the message bus acknowledged.",
                    unit=PER_S,
                    service=OF_SERIES,
                    width=12,
                ),
                timeseries(
                    "Failed publishes",
                    OUTBOX + rate("mercato_relay_failed_total", "service, collection"),
                    about="Events per second that the message bus did not acknowledge; they are published again.",
                    unit=PER_S,
                    service=OF_SERIES,
                    width=12,
                ),
            ],
        ),
        row(
            "Consumers and bus",
            [
                timeseries(
                    "Consumer lag in records",
                    "{{service}} of {{topic}}: " + total("mercato_consumer_lag", "service, topic"),
                    about="Records of each topic that a service has not handled yet; above 500 an alert fires.",
                    service=OF_SERIES,
                    width=12,
                    limit=500,
                ),
                timeseries(
                    "Message bus unavailable",
                    "{{service}}: " + largest("mercato_bus_unavailable_seconds", "service"),
                    about="Time for which the message bus acknowledged no event; above 15 s an alert fires.",
                    unit="s",
                    service=OF_SERIES,
                    width=12,
                    limit=15,
                ),
                timeseries(
                    "Consumed events",
                    "{{service}} {{topic}} {{outcome}}: "
                    + rate("mercato_consumer_events_total", "service, topic, outcome"),
                    about="Events per second by outcome: handled, skipped (no handler), retried, parked.",
                    unit=PER_S,
                    service=OF_SERIES,
                    width=12,
                ),
                timeseries(
                    "From commit to effect, p95",
                    "{{service}} {{topic}}: " + quantile(0.95, "mercato_consumer_delay_seconds", "service, topic"),
                    about="95 % of the events take effect in a service at most this long after their commit.",
                    unit="s",
                    service=OF_SERIES,
                    width=12,
                ),
            ],
        ),
        row(
            "Dead letters and entries set aside",
            [
                timeseries(
                    "Dead letters",
                    "{{service}}: " + largest("mercato_dead_letters", "service"),
                    about="Events that a service could not handle; later events of the same key wait behind them.",
                    service=OF_SERIES,
                    limit=1,
                ),
                timeseries(
                    "Retried and parked events",
                    "{{service}} {{topic}} retried: " + consumed("retried"),
                    "{{service}} {{topic}} parked: " + consumed("parked"),
                    about="Events per second whose handler failed: tried again, or parked as a dead letter.",
                    unit=PER_S,
                    service=OF_SERIES,
                    overrides=outcomes(),
                ),
                timeseries(
                    "Set aside",
                    "{{service}} {{source}}: " + largest("mercato_set_aside", "service, source"),
                    about="Entries of outboxes and jobs that failed three times and wait for an operator.",
                    service=OF_SERIES,
                    limit=1,
                ),
            ],
        ),
        row(
            "Mails",
            [
                timeseries(
                    "Mails by outcome",
                    "{{outcome}}: " + rate("mercato_mails_total", "outcome"),
                    about="Attempts to send mails per second; failed mails were given up.",
                    unit=PER_S,
                    service="notifications",
                    width=24,
                    overrides=outcomes(),
                ),
            ],
        ),
    ],
)
