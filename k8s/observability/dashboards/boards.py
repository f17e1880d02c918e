"""What each dashboard shows, and the files that it writes: `python k8s/observability/dashboards/boards.py [FOLDER]`."""

import json
import sys
from pathlib import Path

from panels import OF_SERIES, Json, bars, board, heatmap, logs, row, stat, timeseries

PUBLIC = 'http_route!~"/internal/.*"'
ONE = 'service="$service"'


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    """The q-quantile of a histogram in seconds, for each combination of these labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def rate(metric: str, by: str, where: str = "") -> str:
    """How often something happens in a second, for each combination of these labels."""
    return f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"


def kept(bad: str, all: str) -> str:
    """Which part of what was asked within 30 days went well."""
    return f"1 - sum(sum_over_time({bad}[30d])) / sum(sum_over_time({all}[30d]))"


def left(bad: str, all: str, budget: float) -> str:
    """Which part of the error budget of 30 days is left; below 0 where more than all of it is spent."""
    return f"1 - sum(sum_over_time({bad}[30d])) / sum(sum_over_time({all}[30d])) / {budget}"


AVAILABILITY = ("service:http_server_errors:rate5m", "service:http_server_requests:rate5m")
CHECKOUT = ("platform:checkouts_slow:rate5m", "platform:checkouts:rate5m")

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
                    "{{service}} for want of a thread: " + rate("http_server_requests_shed_total", "service"),
                    "{{service}} by a rate limit: " + rate("http_server_rate_limited_total", "service"),
                    "{{service}} too late: " + rate("http_server_deadline_misses_total", "service"),
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
                    "{{service}} to {{server_address}}: max by (service, server_address) (circuit_breaker_state)",
                    service=OF_SERIES,
                    limit=2,
                    about="0 closed, 1 half-open, 2 open.",
                ),
                timeseries(
                    "Retries and stale answers",
                    "{{service}} to {{server_address}}, again: "
                    + rate("http_client_retries_total", "service, server_address"),
                    "{{service}} to {{server_address}}, stale: "
                    + rate("http_client_fallbacks_total", "service, server_address"),
                    unit="reqps",
                    service=OF_SERIES,
                ),
            ],
        ),
    ],
)

checkout = board(
    "checkout",
    "checkout",
    [
        row(
            "Orders, over the time shown",
            [
                bars(
                    "Funnel",
                    'Placed: sum(increase(orders_total{outcome="placed"}[$__range]))',
                    'Stock reserved: sum(increase(reservations_total{outcome="reserved"}[$__range]))',
                    'Paid: sum(increase(payments_total{outcome="captured"}[$__range]))',
                    'Confirmed: sum(increase(orders_total{outcome="confirmed"}[$__range]))',
                ),
                bars(
                    "What became of them",
                    "Orders {{outcome}}: sum by (outcome) (increase(orders_total[$__range]))",
                    "Reservations {{outcome}}: sum by (outcome) (increase(reservations_total[$__range]))",
                    "Payments {{outcome}}: sum by (outcome) (increase(payments_total[$__range]))",
                ),
                timeseries("Orders", "{{outcome}}: " + rate("orders_total", "outcome"), unit="ops", service="orders"),
                timeseries(
                    "Revenue",
                    "{{currency}}: " + rate("orders_revenue_minor_units_total", "currency") + " * 3600 / 100",
                    about="An hour, of confirmed orders, where a unit of the currency has 100 parts.",
                    service="orders",
                ),
                timeseries(
                    "Within 800 ms",
                    "1 - platform:checkouts_slow:ratio_rate5m",
                    unit="percentunit",
                    service="orders",
                    about="Of the checkouts of the last five minutes.",
                ),
            ],
        ),
        row(
            "How long a checkout takes",
            [
                timeseries(
                    "From placed to decided",
                    "50 %: " + quantile(0.5, "checkout_duration_seconds"),
                    "95 %: " + quantile(0.95, "checkout_duration_seconds"),
                    "99 %: " + quantile(0.99, "checkout_duration_seconds"),
                    unit="s",
                    service="orders",
                    width=12,
                    limit=0.8,
                ),
                timeseries(
                    "The saga, 95 %",
                    "{{saga}} {{outcome}}: " + quantile(0.95, "saga_duration_seconds", "saga, outcome"),
                    unit="s",
                    service="orders",
                    width=12,
                ),
            ],
        ),
        row(
            "Sagas and their undoing",
            [
                timeseries(
                    "Begun and ended",
                    "{{saga}} begun: " + rate("saga_started_total", "saga"),
                    "{{saga}} {{outcome}}: " + rate("saga_finished_total", "saga, outcome"),
                    unit="ops",
                    service="orders",
                ),
                timeseries("Open, by step", "{{saga}} {{step}}: max by (saga, step) (saga_open)", service="orders"),
                timeseries(
                    "The oldest, by step",
                    "{{saga}} {{step}}: max by (saga, step) (saga_oldest_age_seconds)",
                    unit="s",
                    service="orders",
                    limit=300,
                ),
                timeseries(
                    "Steps that were not done",
                    "{{step}} {{outcome}}: " + rate("saga_steps_total", "step, outcome", 'outcome!="done"'),
                    unit="ops",
                    service="orders",
                ),
                timeseries(
                    "Undoing that does not succeed",
                    "{{saga}}: max by (saga) (saga_stuck)",
                    service="orders",
                    limit=1,
                    about="Tried ten times or more: somebody has to look.",
                ),
                timeseries(
                    "Reservations overdue",
                    "{{service}}: max by (service) (reservations_overdue)",
                    service="inventory",
                    limit=1,
                ),
            ],
        ),
    ],
)

events = board(
    "events",
    "events",
    [
        row(
            "Outboxes and their relays",
            [
                timeseries(
                    "Wait",
                    "{{service}} {{collection}}: sum by (service, collection) (outbox_pending)",
                    service=OF_SERIES,
                    width=6,
                ),
                timeseries(
                    "The oldest that waits",
                    "{{service}} {{collection}}: max by (service, collection) (outbox_oldest_age_seconds)",
                    unit="s",
                    service=OF_SERIES,
                    width=6,
                    limit=30,
                ),
                timeseries(
                    "Published",
                    "{{service}} {{collection}}: " + rate("relay_published_total", "service, collection"),
                    unit="ops",
                    service=OF_SERIES,
                    width=6,
                ),
                timeseries(
                    "Not acknowledged",
                    "{{service}} {{collection}}: " + rate("relay_failed_total", "service, collection"),
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
                    "{{service}} of {{topic}}: sum by (service, topic) (consumer_lag)",
                    service=OF_SERIES,
                    limit=500,
                ),
                timeseries(
                    "Events",
                    "{{service}} {{topic}} {{outcome}}: " + rate("consumer_events_total", "service, topic, outcome"),
                    unit="ops",
                    service=OF_SERIES,
                ),
                timeseries(
                    "From commit to effect, 95 %",
                    "{{service}} {{topic}}: " + quantile(0.95, "consumer_delay_seconds", "service, topic"),
                    unit="s",
                    service=OF_SERIES,
                ),
            ],
        ),
        row(
            "Dead letters",
            [
                timeseries(
                    "Parked", "{{service}}: max by (service) (dead_letters)", service=OF_SERIES, width=12, limit=1
                ),
                timeseries(
                    "Tried again, and given up",
                    "{{service}} {{topic}} {{outcome}}: "
                    + rate("consumer_events_total", "service, topic, outcome", 'outcome=~"retried|parked"'),
                    unit="ops",
                    service=OF_SERIES,
                    width=12,
                ),
            ],
        ),
    ],
)

SERVICE: Json = {
    "name": "service",
    "label": "Service",
    "type": "query",
    "datasource": {"type": "prometheus", "uid": "${datasource}"},
    "query": {"query": 'label_values(up{job="mercato"}, service)', "refId": "service"},
    "refresh": 2,
    "sort": 1,
    "current": {"text": "orders", "value": "orders"},
}
S = "$service"

service = board(
    "service",
    "one service",
    [
        row(
            "What it is asked",
            [
                timeseries(
                    "Requests",
                    "{{http_request_method}} {{http_route}}: "
                    + rate("http_server_request_duration_seconds_count", "http_request_method, http_route", ONE),
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Answers",
                    "{{http_response_status_code}}: "
                    + rate("http_server_request_duration_seconds_count", "http_response_status_code", ONE),
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Duration, 95 %",
                    "{{http_route}}: " + quantile(0.95, "http_server_request_duration_seconds", "http_route", ONE),
                    unit="s",
                    service=S,
                ),
                heatmap("Durations", rate("http_server_request_duration_seconds_bucket", "le", ONE), S),
                timeseries(
                    "Refused, and answered again",
                    "for want of a thread: " + rate("http_server_requests_shed_total", "service", ONE),
                    "by a rate limit, {{http_route}}: " + rate("http_server_rate_limited_total", "http_route", ONE),
                    "too late, {{http_route}}: " + rate("http_server_deadline_misses_total", "http_route", ONE),
                    "with the first answer, {{http_route}}: "
                    + rate("http_server_idempotent_replays_total", "http_route", ONE),
                    unit="reqps",
                    service=S,
                    width=12,
                ),
            ],
        ),
        row(
            "Whom it calls",
            [
                timeseries(
                    "Calls",
                    "{{server_address}} {{url_template}} {{error_type}}: "
                    + rate(
                        "http_client_request_duration_seconds_count", "server_address, url_template, error_type", ONE
                    ),
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Duration, 95 %",
                    "{{server_address}} {{url_template}}: "
                    + quantile(0.95, "http_client_request_duration_seconds", "server_address, url_template", ONE),
                    unit="s",
                    service=S,
                ),
                timeseries(
                    "Breakers",
                    f"{{{{server_address}}}}: max by (server_address) (circuit_breaker_state{{{ONE}}})",
                    "{{server_address}} becomes {{state}}: "
                    + rate("circuit_breaker_changes_total", "server_address, state", ONE),
                    service=S,
                    limit=2,
                    about="0 closed, 1 half-open, 2 open; and how often that changes.",
                ),
                timeseries(
                    "Retries",
                    "{{server_address}}: " + rate("http_client_retries_total", "server_address", ONE),
                    "{{server_address}}, the budget was spent: "
                    + rate("retry_budget_exhausted_total", "server_address", ONE),
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Retries that it may still make",
                    f"{{{{server_address}}}}: min by (server_address) (retry_budget_remaining{{{ONE}}})",
                    service=S,
                ),
                timeseries(
                    "Bulkheads",
                    f"{{{{server_address}}}} in use: max by (server_address) (bulkhead_in_use{{{ONE}}})",
                    "{{server_address}} refused: " + rate("bulkhead_rejected_total", "server_address", ONE),
                    service=S,
                ),
                timeseries(
                    "No time left for a call",
                    "{{server_address}}: " + rate("http_client_deadline_misses_total", "server_address", ONE),
                    unit="reqps",
                    service=S,
                ),
            ],
        ),
        row(
            "Its store",
            [
                timeseries(
                    "Operations",
                    "{{db_operation_name}} {{db_collection_name}}: "
                    + rate("db_client_operation_duration_seconds_count", "db_operation_name, db_collection_name", ONE),
                    unit="ops",
                    service=S,
                ),
                timeseries(
                    "Duration, 95 %",
                    "{{db_operation_name}} {{db_collection_name}}: "
                    + quantile(
                        0.95, "db_client_operation_duration_seconds", "db_operation_name, db_collection_name", ONE
                    ),
                    unit="s",
                    service=S,
                ),
                timeseries(
                    "By how they ended",
                    "{{error_type}}: " + rate("db_client_operation_duration_seconds_count", "error_type", ONE),
                    unit="ops",
                    service=S,
                    about="Without a name: well.",
                ),
            ],
        ),
        row("What it says", [logs("Logs", f'{{service_name="{S}"}}')]),
    ],
    (SERVICE,),
)

PROCESS = "{{service}} {{process}} {{instance}}: "
RUNTIME = 'job="mercato"'

runtime = board(
    "runtime",
    "processes",
    [
        row(
            "Processes",
            [
                timeseries(
                    "Processor",
                    PROCESS + f"rate(process_cpu_seconds_total{{{RUNTIME}}}[$__rate_interval])",
                    service=OF_SERIES,
                    about="Cores; a process uses one at most.",
                ),
                timeseries(
                    "Memory", PROCESS + f"process_resident_memory_bytes{{{RUNTIME}}}", unit="bytes", service=OF_SERIES
                ),
                timeseries(
                    "Up for", PROCESS + f"time() - process_start_time_seconds{{{RUNTIME}}}", unit="s", service=OF_SERIES
                ),
                timeseries(
                    "Restarts, in ten minutes",
                    PROCESS + f"changes(process_start_time_seconds{{{RUNTIME}}}[10m])",
                    service=OF_SERIES,
                    limit=3,
                ),
                timeseries(
                    "Down",
                    f"{{{{service}}}} {{{{process}}}} {{{{instance}}}}: 1 - up{{{RUNTIME}}}",
                    service=OF_SERIES,
                    limit=1,
                ),
                timeseries(
                    "Log lines that were lost",
                    "{{service}}: " + rate("log_lines_lost_total", "service"),
                    unit="ops",
                    service=OF_SERIES,
                ),
            ],
        ),
        row(
            "Python",
            [
                timeseries(
                    "Garbage collections",
                    "{{service}} {{process}} generation {{generation}}: "
                    + rate("python_gc_collections_total", "service, process, generation"),
                    unit="ops",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Objects collected",
                    "{{service}} {{process}}: " + rate("python_gc_objects_collected_total", "service, process"),
                    unit="ops",
                    service=OF_SERIES,
                ),
                timeseries("Open descriptors", PROCESS + f"process_open_fds{{{RUNTIME}}}", service=OF_SERIES),
                timeseries(
                    "Descriptors left",
                    PROCESS + f"process_max_fds{{{RUNTIME}}} - process_open_fds{{{RUNTIME}}}",
                    service=OF_SERIES,
                ),
                timeseries("Threads", PROCESS + f"process_threads{{{RUNTIME}}}", service=OF_SERIES),
                timeseries(
                    "Threads that call others",
                    "{{service}} to {{server_address}}: sum by (service, server_address) (bulkhead_in_use)",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Threads wanting",
                    "{{service}}: " + rate("http_server_requests_shed_total", "service"),
                    unit="reqps",
                    service=OF_SERIES,
                    about="Requests refused for want of one.",
                ),
            ],
        ),
    ],
)

BOARDS = {"overview": overview, "checkout": checkout, "events": events, "service": service, "runtime": runtime}


def main(folder: Path) -> None:
    for name, each in BOARDS.items():
        (folder / f"{name}.json").write_text(json.dumps(each, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
