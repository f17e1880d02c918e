"""The platform at a glance: its promises, requests by service, calls between services."""

from panels import OF_SERIES, board, row, stat, timeseries
from queries import quantile, rate

PUBLIC = 'http_route!~"/internal/.*"'
AVAILABILITY = ("service:http_server_errors:rate5m", "service:http_server_requests:rate5m")
CHECKOUT = ("platform:checkouts_slow:rate5m", "platform:checkouts:rate5m")


def spent(bad: str, all: str) -> str:
    """Which part of what was asked within 30 days went badly."""
    return f"sum(sum_over_time({bad}[30d])) / sum(sum_over_time({all}[30d]))"


def kept(bad: str, all: str) -> str:
    """Which part went well."""
    return f"1 - {spent(bad, all)}"


def left(bad: str, all: str, budget: float) -> str:
    """Which part of the error budget is left; below 0 where more than all of it is spent."""
    return f"1 - {spent(bad, all)} / {budget}"


overview = board(
    "overview",
    "platform",
    [
        row(
            "Promises, over 30 days",
            [
                stat("Availability", kept(*AVAILABILITY), unit="percentunit", least=0.999, decimals=3),
                stat("Its error budget left", left(*AVAILABILITY, 0.001), unit="percentunit", least=0),
                stat("Checkouts within 800 ms", kept(*CHECKOUT), unit="percentunit", least=0.95, decimals=2),
                stat("Its error budget left", left(*CHECKOUT, 0.05), unit="percentunit", least=0),
                stat("Alerts", 'count(ALERTS{alertstate="firing"}) or vector(0)', limit=1),
                stat("Processes", 'sum(up{job="mercato"})', about="That tell their metrics."),
                timeseries(
                    "Burn rate of the availability budget",
                    "{{service}} 1 h: service:http_server_errors:ratio_rate1h / 0.001",
                    "{{service}} 6 h: service:http_server_errors:ratio_rate6h / 0.001",
                    service=OF_SERIES,
                    width=12,
                    limit=14.4,
                    about="1 spends the budget in just 30 days. 14.4 pages within an hour, 6 within six.",
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
                timeseries("Rate", "service:http_server_requests:rate5m", unit="reqps", service=OF_SERIES),
                timeseries(
                    "Errors",
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
                    "Refused",
                    "{{service}} for want of a thread: " + rate("mercato_http_server_requests_shed_total", "service"),
                    "{{service}} by a rate limit: " + rate("mercato_http_server_rate_limited_total", "service"),
                    "{{service}} too late: " + rate("mercato_http_server_deadline_misses_total", "service"),
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
            ],
        ),
        row(
            "Calls between services",
            [
                timeseries(
                    "Failed",
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
                    "Breakers",
                    "{{service}} to {{server_address}}: max by (service, server_address) (mercato_circuit_breaker_state)",
                    service=OF_SERIES,
                    limit=2,
                    about="0 closed, 1 half-open, 2 open.",
                ),
                timeseries(
                    "Retries and stale answers",
                    "{{service}} to {{server_address}}, again: "
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
