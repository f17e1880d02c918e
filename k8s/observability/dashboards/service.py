"""One service, chosen by a variable: what it is asked, whom it calls, its store, its log lines."""

from panels import PROMETHEUS, Json, board, heatmap, logs, row, timeseries
from queries import quantile, rate

ONE = 'service="$service"'
S = "$service"
SERVICE: Json = {
    "name": "service",
    "label": "Service",
    "type": "query",
    "datasource": PROMETHEUS,
    "query": {"query": 'label_values(up{job="mercato"}, service)', "refId": "service"},
    "refresh": 2,
    "sort": 1,
    "current": {"text": "orders", "value": "orders"},
}

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
                    "for want of a thread: " + rate("mercato_http_server_requests_shed_total", "service", ONE),
                    "by a rate limit, {{http_route}}: " + rate("mercato_http_server_rate_limited_total", "http_route", ONE),
                    "too late, {{http_route}}: " + rate("mercato_http_server_deadline_misses_total", "http_route", ONE),
                    "with the first answer, {{http_route}}: "
                    + rate("mercato_http_server_idempotent_replays_total", "http_route", ONE),
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
                    f"{{{{server_address}}}}: max by (server_address) (mercato_circuit_breaker_state{{{ONE}}})",
                    "{{server_address}} becomes {{state}}: "
                    + rate("mercato_circuit_breaker_changes_total", "server_address, state", ONE),
                    service=S,
                    limit=2,
                    about="0 closed, 1 half-open, 2 open; and how often that changes.",
                ),
                timeseries(
                    "Retries",
                    "{{server_address}}: " + rate("mercato_http_client_retries_total", "server_address", ONE),
                    "{{server_address}}, the budget was spent: "
                    + rate("mercato_retry_budget_exhausted_total", "server_address", ONE),
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Retries that it may still make",
                    f"{{{{server_address}}}}: min by (server_address) (mercato_retry_budget_remaining{{{ONE}}})",
                    service=S,
                ),
                timeseries(
                    "Bulkheads",
                    f"{{{{server_address}}}} in use: max by (server_address) (mercato_bulkhead_in_use{{{ONE}}})",
                    "{{server_address}} refused: " + rate("mercato_bulkhead_rejected_total", "server_address", ONE),
                    service=S,
                ),
                timeseries(
                    "No time left for a call",
                    "{{server_address}}: " + rate("mercato_http_client_deadline_misses_total", "server_address", ONE),
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
