"""The platform at a glance: what fails now, then objectives, requests by service, calls between services."""

from board import board, row
from first_screen import FIRST_SCREEN, REQUESTS
from looks import CIRCUIT, PER_S, TIMES
from objectives import AVAILABILITY, CHECKOUT, good_share
from panels import OF_SERIES, stat, states, timeseries
from queries import PUBLIC, largest, quantile, rate, series

overview = board(
    "overview",
    "platform",
    [
        FIRST_SCREEN,
        row(
            "Objectives over 30 days",
            [
                stat(
                    "Availability",
                    good_share(*AVAILABILITY),
                    about="Share of the public requests of 30 days that were neither shed nor answered with 5xx.",
                    unit="percentunit",
                    least=0.999,
                    decimals=3,
                    height=8,
                ),
                timeseries(
                    "Burn rate of the availability budget",
                    "{{service}} 1 h: " + series("service:http_server_errors:ratio_rate1h") + " / 0.001",
                    "{{service}} 6 h: " + series("service:http_server_errors:ratio_rate6h") + " / 0.001",
                    about="At 1 the budget lasts exactly 30 days. 14.4 pages within one hour, 6 within six.",
                    service=OF_SERIES,
                    limit=14.4,
                    unit=TIMES,
                ),
                stat(
                    "Checkouts within 800 ms",
                    good_share(*CHECKOUT),
                    about="Share of the checkouts of 30 days that were decided within 800 ms.",
                    unit="percentunit",
                    least=0.95,
                    decimals=2,
                    height=8,
                ),
                timeseries(
                    "Burn rate of the checkout budget",
                    "1 h: " + series("platform:checkouts_slow:ratio_rate1h") + " / 0.05",
                    "6 h: " + series("platform:checkouts_slow:ratio_rate6h") + " / 0.05",
                    about="At 1 the budget lasts exactly 30 days. 14.4 pages within one hour, 6 within six.",
                    service="orders",
                    limit=14.4,
                    unit=TIMES,
                ),
            ],
        ),
        row(
            "Requests by service",
            [
                timeseries(
                    "Request rate",
                    "{{service}}: " + series("service:http_server_requests:rate5m"),
                    about="Public requests per second of each service.",
                    unit="reqps",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Error ratio",
                    "{{service}}: " + series("service:http_server_errors:ratio_rate5m"),
                    about="Share of the public requests that were shed or answered with 5xx.",
                    unit="percentunit",
                    service=OF_SERIES,
                    limit=0.001,
                ),
                timeseries(
                    "Duration of public requests, p95",
                    "{{service}}: " + quantile(0.95, REQUESTS, "service", PUBLIC),
                    about="95 % of the public requests of each service take at most this long.",
                    unit="s",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Rejected requests by service",
                    "{{service}} shed: " + rate("mercato_http_server_requests_shed_total", "service"),
                    "{{service}} rate limited: " + rate("mercato_http_server_rate_limited_total", "service"),
                    "{{service}} deadline missed: " + rate("mercato_http_server_deadline_misses_total", "service"),
                    about="Requests without a free thread (503), over a rate limit (429), or too late (504).",
                    unit="reqps",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Busiest routes",
                    f"{{{{service}}}} {{{{http_route}}}}: topk(10, "
                    f"{rate(f'{REQUESTS}_count', 'service, http_route', PUBLIC)})",
                    about="The ten public routes with the most requests per second.",
                    unit="reqps",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Security events",
                    "{{service}}, {{event}}: " + rate("mercato_security_events_total", "service, event"),
                    about="Failed sign-ins, reused refresh tokens, changes of credentials and roles.",
                    unit=PER_S,
                    service=OF_SERIES,
                ),
            ],
        ),
        row(
            "Calls between services",
            [
                timeseries(
                    "Failed calls",
                    "{{service}} to {{server_address}}: " + series("service:http_client_errors:rate5m"),
                    about="Calls per second that failed after all their retries, by caller and called service.",
                    unit="reqps",
                    service=OF_SERIES,
                    width=12,
                ),
                states(
                    "Circuit breakers by caller",
                    "{{service}} to {{server_address}}: "
                    + largest("mercato_circuit_breaker_state", "service, server_address"),
                    CIRCUIT,
                    about="The circuit breaker of each caller for each service that it calls.",
                    service=OF_SERIES,
                    width=12,
                ),
                timeseries(
                    "Failed share of calls",
                    "{{service}}: " + series("upstream:http_client_errors:ratio_rate5m"),
                    about="Share of the calls to each service that failed after all retries, as callers see it.",
                    unit="percentunit",
                    service=OF_SERIES,
                    width=12,
                    limit=0.001,
                ),
                timeseries(
                    "Retries and stale responses",
                    "{{service}} to {{server_address}}, retries: "
                    + rate("mercato_http_client_retries_total", "service, server_address"),
                    "{{service}} to {{server_address}}, stale: "
                    + rate("mercato_http_client_fallbacks_total", "service, server_address"),
                    about="Repeated calls, and calls answered with a stored response because they failed.",
                    unit="reqps",
                    service=OF_SERIES,
                    width=12,
                ),
            ],
        ),
    ],
)
