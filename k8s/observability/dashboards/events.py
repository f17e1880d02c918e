"""Outboxes and their relays, consumers, dead letters."""

from panels import OF_SERIES, board, row, timeseries
from queries import quantile, rate

events = board(
    "events",
    "events",
    [
        row(
            "Outboxes and their relays",
            [
                timeseries(
                    "Wait",
                    "{{service}} {{collection}}: sum by (service, collection) (mercato_outbox_pending)",
                    service=OF_SERIES,
                    width=6,
                ),
                timeseries(
                    "The oldest that waits",
                    "{{service}} {{collection}}: max by (service, collection) (mercato_outbox_oldest_age_seconds)",
                    unit="s",
                    service=OF_SERIES,
                    width=6,
                    limit=30,
                ),
                timeseries(
                    "Published",
                    "{{service}} {{collection}}: " + rate("mercato_relay_published_total", "service, collection"),
                    unit="ops",
                    service=OF_SERIES,
                    width=6,
                ),
                timeseries(
                    "Not acknowledged",
                    "{{service}} {{collection}}: " + rate("mercato_relay_failed_total", "service, collection"),
                    unit="ops",
                    service=OF_SERIES,
                    width=6,
                ),
            ],
        ),
        row(
            "Consumers",
            [
                timeseries(
                    "Behind, in records",
                    "{{service}} of {{topic}}: sum by (service, topic) (mercato_consumer_lag)",
                    service=OF_SERIES,
                    limit=500,
                ),
                timeseries(
                    "Events",
                    "{{service}} {{topic}} {{outcome}}: " + rate("mercato_consumer_events_total", "service, topic, outcome"),
                    unit="ops",
                    service=OF_SERIES,
                ),
                timeseries(
                    "From commit to effect, 95 %",
                    "{{service}} {{topic}}: " + quantile(0.95, "mercato_consumer_delay_seconds", "service, topic"),
                    unit="s",
                    service=OF_SERIES,
                ),
            ],
        ),
        row(
            "Dead letters",
            [
                timeseries(
                    "Parked", "{{service}}: max by (service) (mercato_dead_letters)", service=OF_SERIES, width=12, limit=1
                ),
                timeseries(
                    "Tried again, and given up",
                    "{{service}} {{topic}} {{outcome}}: "
                    + rate("mercato_consumer_events_total", "service, topic, outcome", 'outcome=~"retried|parked"'),
                    unit="ops",
                    service=OF_SERIES,
                    width=12,
                ),
            ],
        ),
    ],
)
