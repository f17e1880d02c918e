"""Orders, the duration of checkouts, sagas and their compensation."""

from panels import bars, board, row, timeseries
from queries import quantile, rate

checkout = board(
    "checkout",
    "checkout",
    [
        row(
            "Orders in the selected time range",
            [
                bars(
                    "Funnel",
                    'Placed: sum(increase(mercato_orders_total{outcome="placed"}[$__range]))',
                    'Stock reserved: sum(increase(mercato_reservations_total{outcome="reserved"}[$__range]))',
                    'Paid: sum(increase(mercato_payments_total{outcome="captured"}[$__range]))',
                    'Confirmed: sum(increase(mercato_orders_total{outcome="confirmed"}[$__range]))',
                ),
                bars(
                    "Outcomes",
                    "Orders {{outcome}}: sum by (outcome) (increase(mercato_orders_total[$__range]))",
                    "Reservations {{outcome}}: sum by (outcome) (increase(mercato_reservations_total[$__range]))",
                    "Payments {{outcome}}: sum by (outcome) (increase(mercato_payments_total[$__range]))",
                ),
                timeseries(
                    "Orders", "{{outcome}}: " + rate("mercato_orders_total", "outcome"), unit="ops", service="orders"
                ),
                timeseries(
                    "Revenue",
                    "{{currency}}: " + rate("mercato_orders_revenue_minor_units_total", "currency") + " * 3600 / 100",
                    about="Per hour, of confirmed orders, in currencies with 100 minor units.",
                    service="orders",
                ),
                timeseries(
                    "Checkouts within 800 ms",
                    "1 - platform:checkouts_slow:ratio_rate5m",
                    unit="percentunit",
                    service="orders",
                    about="Share of the checkouts of the last 5 minutes.",
                ),
            ],
        ),
        row(
            "Duration of checkouts",
            [
                timeseries(
                    "From order placed to confirmed or rejected",
                    "50 %: " + quantile(0.5, "mercato_checkout_duration_seconds"),
                    "95 %: " + quantile(0.95, "mercato_checkout_duration_seconds"),
                    "99 %: " + quantile(0.99, "mercato_checkout_duration_seconds"),
                    unit="s",
                    service="orders",
                    width=12,
                    limit=0.8,
                ),
                timeseries(
                    "Saga duration, 95 %",
                    "{{saga}} {{outcome}}: " + quantile(0.95, "mercato_saga_duration_seconds", "saga, outcome"),
                    unit="s",
                    service="orders",
                    width=12,
                ),
            ],
        ),
        row(
            "Sagas and compensation",
            [
                timeseries(
                    "Started and finished",
                    "{{saga}} started: " + rate("mercato_saga_started_total", "saga"),
                    "{{saga}} {{outcome}}: " + rate("mercato_saga_finished_total", "saga, outcome"),
                    unit="ops",
                    service="orders",
                ),
                timeseries(
                    "Open sagas by step", "{{saga}} {{step}}: max by (saga, step) (mercato_saga_open)", service="orders"
                ),
                timeseries(
                    "Oldest open saga by step",
                    "{{saga}} {{step}}: max by (saga, step) (mercato_saga_oldest_age_seconds)",
                    unit="s",
                    service="orders",
                    limit=300,
                ),
                timeseries(
                    "Steps not done",
                    "{{step}} {{outcome}}: " + rate("mercato_saga_steps_total", "step, outcome", 'outcome!="done"'),
                    unit="ops",
                    service="orders",
                ),
                timeseries(
                    "Blocked sagas by step",
                    "{{saga}} {{step}}: max by (saga, step) (mercato_saga_blocked)",
                    service="orders",
                    limit=1,
                    about="The step failed five times by a defect: an operator has to act.",
                ),
                timeseries(
                    "Stuck compensations",
                    "{{saga}}: max by (saga) (mercato_saga_stuck)",
                    service="orders",
                    limit=1,
                    about="Failed ten times or more: an operator has to act.",
                ),
                timeseries(
                    "Overdue reservations",
                    "{{service}}: max by (service) (mercato_reservations_overdue)",
                    service="inventory",
                    limit=1,
                ),
            ],
        ),
    ],
)
