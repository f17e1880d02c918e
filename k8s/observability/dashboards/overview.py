"""The platform at a glance: objectives, requests by service, calls between services."""

from panels import OF_SERIES, board, row, stat, timeseries
from queries import quantile, rate

PUBLIC = 'http_route!~"/internal/.*"'
AVAILABILITY = ("service:http_server_errors:rate5m", "service:http_server_requests:rate5m")
CHECKOUT = ("platform:checkouts_slow:rate5m", "platform:checkouts:rate5m")


def bad_share(bad: str, all: str) -> str:
    """Return the share of 30 days that was bad."""
    return f"sum(sum_over_time({bad}[30d])) / sum(sum_over_time({all}[30d]))"


def good_share(bad: str, all: str) -> str:
    """Return the share of 30 days that was good."""
    return f"1 - {bad_share(bad, all)}"


def budget_left(bad: str, all: str, budget: float) -> str:
    """Return the share of the error budget that is left; negative if it is overspent."""
    return f"1 - {bad_share(bad, all)} / {budget}"


overview = board(
    "overview",
    "platform",
    [
        row(
            "Objectives over 30 days",
            [
                stat("Availability", good_share(*AVAILABILITY), unit="percentunit", least=0.999, decimals=3),
                stat("Availability budget left", budget_left(*AVAILABILITY, 0.001), unit="percentunit", least=0),
                stat("Checkouts within 800 ms", good_share(*CHECKOUT), unit="percentunit", least=0.95, decimals=2),
                stat("Checkout budget left", budget_left(*CHECKOUT, 0.05), unit="percentunit", least=0),
                stat("Firing alerts", 'count(ALERTS{alertstate="firing"}) or vector(0)', limit=1),
                stat("Processes", 'sum(up{job="mercato"})', about="Processes whose metrics endpoint can be scraped."),
                timeseries(
                    "Burn rate of the availability budget",
                    "{{service}} 1 h: service:http_server_errors:ratio_rate1h / 0.001",
                    "{{service}} 6 h: service:http_server_errors:ratio_rate6h / 0.001",
                    service=OF_SERIES,
                    width=12,
                    limit=14.4,
                    about="At 1 the budget lasts exactly 30 days. 14.4 pages within one hour, 6 within six.",
                ),
                timeseries(
                    "Burn rate of the checkout budget",
                    "1 h: platform:checkouts_slow:ratio_rate1h / 0.05",
                    "6 h: platform:checkouts_slow:ratio_rate6h / 0.05",
                    service="orders",
                    width=12,
                    limit=14.4,
                ),
            ],
        ),
        row(
            "Requests by service",
            [
                timeseries("Request rate", "service:http_server_requests:rate5m", unit="reqps", service=OF_SERIES),
                timeseries(
                    "Error rate",
                    "service:http_server_errors:ratio_rate5m",
                    unit="percentunit",
                    service=OF_SERIES,
                    limit=0.001,
                ),
                timeseries(
                    "Duration, 95 %",
                    "{{service}}: " + quantile(0.95, "http_server_request_duration_seconds", "service", PUBLIC),
                    unit="s",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Rejected requests",
                    "{{service}} shed: " + rate("mercato_http_server_requests_shed_total", "service"),
                    "{{service}} rate limited: " + rate("mercato_http_server_rate_limited_total", "service"),
                    "{{service}} deadline missed: " + rate("mercato_http_server_deadline_misses_total", "service"),
                    unit="reqps",
                    service=OF_SERIES,
                    width=12,
                ),
                timeseries(
                    "Busiest routes",
                    "{{service}} {{http_route}}: topk(10, "
                    + rate("http_server_request_duration_seconds_count", "service, http_route", PUBLIC)
                    + ")",
                    unit="reqps",
                    service=OF_SERIES,
                    width=12,
                ),
                timeseries(
                    "Security events",
                    "{{service}}, {{event}}: " + rate("mercato_security_events_total", "service, event"),
                    unit="ops",
                    service=OF_SERIES,
                    width=24,
                ),
            ],
        ),
        row(
            "Calls between services",
            [
                timeseries(
                    "Failed calls",
                    "{{service}} to {{server_address}}, {{error_type}}: "
                    + rate(
                        "http_client_request_duration_seconds_count",
                        "service, server_address, error_type",
                        'error_type!=""',
                    ),
                    unit="reqps",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Circuit breakers",
                    "{{service}} to {{server_address}}: "
                    "max by (service, server_address) (mercato_circuit_breaker_state)",
                    service=OF_SERIES,
                    limit=2,
                    about="0 closed, 1 half-open, 2 open.",
                ),
                timeseries(
                    "Retries and stale responses",
                    "{{service}} to {{server_address}}, retries: "
                    + rate("mercato_http_client_retries_total", "service, server_address"),
                    "{{service}} to {{server_address}}, stale: "
                    + rate("mercato_http_client_fallbacks_total", "service, server_address"),
                    unit="reqps",
                    service=OF_SERIES,
                ),
            ],
        ),
    ],
)
