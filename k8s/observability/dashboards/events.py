"""Outboxes and their relays, consumers, dead letters."""

from panels import OF_SERIES, board, row, timeseries
from queries import quantile, rate

events = board(
    "events",
    "events",
    [
        row(
            "Outbox and relay",
            [
                timeseries(
                    "Pending events",
                    "{{service}} {{collection}}: sum by (service, collection) (mercato_outbox_pending)",
                    service=OF_SERIES,
                    width=6,
                ),
                timeseries(
                    "Oldest pending event",
                    "{{service}} {{collection}}: max by (service, collection) (mercato_outbox_oldest_age_seconds)",
                    unit="s",
                    service=OF_SERIES,
                    width=6,
                    limit=30,
                ),
                timeseries(
                    "Published events",
                    "{{service}} {{collection}}: " + rate("mercato_relay_published_total", "service, collection"),
                    unit="ops",
                    service=OF_SERIES,
                    width=6,
                ),
                timeseries(
                    "Failed publishes",
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
                    "Consumer lag in records",
                    "{{service}} of {{topic}}: sum by (service, topic) (mercato_consumer_lag)",
                    service=OF_SERIES,
                    limit=500,
                ),
                timeseries(
                    "Consumed events",
                    "{{service}} {{topic}} {{outcome}}: "
                    + rate("mercato_consumer_events_total", "service, topic, outcome"),
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
            "Dead letters and entries set aside",
            [
                timeseries(
                    "Dead letters",
                    "{{service}}: max by (service) (mercato_dead_letters)",
                    service=OF_SERIES,
                    width=8,
                    limit=1,
                ),
                timeseries(
                    "Retried and parked",
                    "{{service}} {{topic}} {{outcome}}: "
                    + rate("mercato_consumer_events_total", "service, topic, outcome", 'outcome=~"retried|parked"'),
                    unit="ops",
                    service=OF_SERIES,
                    width=8,
                ),
                timeseries(
                    "Set aside",
                    "{{service}} {{source}}: max by (service, source) (mercato_set_aside)",
                    service=OF_SERIES,
                    width=8,
                    limit=1,
                ),
            ],
        ),
    ],
)
