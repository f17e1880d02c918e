"""Orders, the duration of checkouts, sagas and their compensation."""

from board import board, row
from looks import MONEY, PER_S, outcomes
from money import CURRENCIES, per_hour
from panels import bars, timeseries
from queries import increase, largest, quantile, rate, series

STEP = "{{saga}} {{step}}: "

checkout = board(
    "checkout",
    "checkout",
    [
        row(
            "Orders",
            [
                bars(
                    "Funnel",
                    "Placed: " + increase("mercato_orders_total", where='outcome="placed"'),
                    "Stock reserved: " + increase("mercato_reservations_total", where='outcome="reserved"'),
                    "Paid: " + increase("mercato_payments_total", where='outcome="captured"'),
                    "Confirmed: " + increase("mercato_orders_total", where='outcome="confirmed"'),
                    about="How many orders of the selected time range came how far.",
                ),
                bars(
                    "Outcomes of orders",
                    "{{outcome}}: " + increase("mercato_orders_total", "outcome"),
                    about="What happened to orders in the selected time range.",
                    overrides=outcomes(),
                ),
                bars(
                    "Outcomes of reservations",
                    "{{outcome}}: " + increase("mercato_reservations_total", "outcome"),
                    about="What happened to reservations of stock in the selected time range.",
                    overrides=outcomes(),
                ),
                bars(
                    "Outcomes of payments",
                    "{{outcome}}: " + increase("mercato_payments_total", "outcome"),
                    about="What happened to payments in the selected time range.",
                    overrides=outcomes(),
                ),
                timeseries(
                    "Orders by outcome",
                    "{{outcome}}: " + rate("mercato_orders_total", "outcome"),
                    about="Orders per second by what happened to them.",
                    unit=PER_S,
                    service="orders",
                    overrides=outcomes(),
                ),
                timeseries(
                    "Revenue per hour",
                    "{{currency}}: " + per_hour("mercato_orders_revenue_minor_units_total"),
                    about="Totals of confirmed orders; later cancellations are not subtracted.",
                    service="orders",
                    unit=MONEY,
                    overrides=CURRENCIES,
                ),
                timeseries(
                    "Checkouts within 800 ms, last 5 minutes",
                    "within 800 ms: 1 - " + series("platform:checkouts_slow:ratio_rate5m"),
                    about="Share of the checkouts that were decided within 800 ms; the objective is 95 %.",
                    unit="percentunit",
                    service="orders",
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
                    about="This share of the checkouts takes at most this long; the objective is 800 ms for 95 %.",
                    unit="s",
                    service="orders",
                    width=12,
                    limit=0.8,
                ),
                timeseries(
                    "Duration of sagas, p95",
                    "{{saga}} {{outcome}}: " + quantile(0.95, "mercato_saga_duration_seconds", "saga, outcome"),
                    about="95 % of the sagas take at most this long from their start to their end.",
                    unit="s",
                    service="orders",
                    width=12,
                    overrides=outcomes(),
                ),
            ],
        ),
        row(
            "Sagas and compensation",
            [
                timeseries(
                    "Sagas started and finished",
                    "{{saga}} started: " + rate("mercato_saga_started_total", "saga"),
                    "{{saga}} {{outcome}}: " + rate("mercato_saga_finished_total", "saga, outcome"),
                    about="Sagas per second; undone ones were compensated.",
                    unit=PER_S,
                    service="orders",
                    overrides=outcomes(),
                ),
                timeseries(
                    "Open sagas by saga and step",
                    STEP + largest("mercato_saga_open", "saga, step"),
                    "{{saga}} {{step}} waits for a person: " + largest("mercato_saga_waiting", "saga, step"),
                    about="Open sagas at each step, forward or in compensation; those that wait for a person as well.",
                    service="orders",
                ),
                timeseries(
                    "Oldest open saga by step",
                    STEP + largest("mercato_saga_oldest_age_seconds", "saga, step"),
                    about="Age of the oldest open saga at each step; above 5 minutes an alert fires.",
                    unit="s",
                    service="orders",
                    limit=300,
                ),
                timeseries(
                    "Steps not done",
                    "{{step}} {{outcome}}: " + rate("mercato_saga_steps_total", "step, outcome", 'outcome!="done"'),
                    about="Attempts of steps that did not succeed: refused by the domain, not sent, unknown, failed.",
                    unit=PER_S,
                    service="orders",
                    width=6,
                    overrides=outcomes(),
                ),
                timeseries(
                    "Blocked sagas by step",
                    STEP + largest("mercato_saga_blocked", "saga, step"),
                    about="The step failed five times by a defect: an operator has to act.",
                    service="orders",
                    width=6,
                    limit=1,
                ),
                timeseries(
                    "Stuck compensations",
                    "{{saga}}: " + largest("mercato_saga_stuck", "saga"),
                    about="Compensations that failed ten times or more: an operator has to act.",
                    service="orders",
                    width=6,
                    limit=1,
                ),
                timeseries(
                    "Overdue reservations",
                    "{{service}}: " + largest("mercato_reservations_overdue", "service"),
                    about="Expired reservations that still hold stock.",
                    service="inventory",
                    width=6,
                    limit=1,
                ),
            ],
        ),
    ],
)
