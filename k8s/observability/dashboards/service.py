"""One service, chosen by a variable: inbound requests, outbound calls, store, logs."""

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
    "service",
    [
        row(
            "Inbound requests",
            [
                timeseries(
                    "Requests",
                    "{{http_request_method}} {{http_route}}: "
                    + rate("http_server_request_duration_seconds_count", "http_request_method, http_route", ONE),
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Responses by status",
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
                    "Rejected and replayed",
                    "shed: " + rate("mercato_http_server_requests_shed_total", "service", ONE),
                    "rate limited, {{http_route}}: "
                    + rate("mercato_http_server_rate_limited_total", "http_route", ONE),
                    "deadline missed, {{http_route}}: "
                    + rate("mercato_http_server_deadline_misses_total", "http_route", ONE),
                    "idempotent replay, {{http_route}}: "
                    + rate("mercato_http_server_idempotent_replays_total", "http_route", ONE),
                    unit="reqps",
                    service=S,
                    width=12,
                ),
            ],
        ),
        row(
            "Outbound calls",
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
                    "Circuit breakers",
                    f"{{{{server_address}}}}: max by (server_address) (mercato_circuit_breaker_state{{{ONE}}})",
                    "{{server_address}} to {{state}}: "
                    + rate("mercato_circuit_breaker_changes_total", "server_address, state", ONE),
                    service=S,
                    limit=2,
                    about="0 closed, 1 half-open, 2 open; and changes per second.",
                ),
                timeseries(
                    "Retries",
                    "{{server_address}}: " + rate("mercato_http_client_retries_total", "server_address", ONE),
                    "{{server_address}}, budget exhausted: "
                    + rate("mercato_retry_budget_exhausted_total", "server_address", ONE),
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Retry budget left",
                    f"{{{{server_address}}}}: min by (server_address) (mercato_retry_budget_remaining{{{ONE}}})",
                    service=S,
                ),
                timeseries(
                    "Bulkheads",
                    f"{{{{server_address}}}} in use: max by (server_address) (mercato_bulkhead_in_use{{{ONE}}})",
                    "{{server_address}} rejected: " + rate("mercato_bulkhead_rejected_total", "server_address", ONE),
                    service=S,
                ),
                timeseries(
                    "Missed deadlines of calls",
                    "{{server_address}}: " + rate("mercato_http_client_deadline_misses_total", "server_address", ONE),
                    unit="reqps",
                    service=S,
                ),
            ],
        ),
        row(
            "Store",
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
                    "Operations by error",
                    "{{error_type}}: " + rate("db_client_operation_duration_seconds_count", "error_type", ONE),
                    unit="ops",
                    service=S,
                    about="The series without a name counts successes.",
                ),
            ],
        ),
        row("Logs", [logs("Logs", f'{{service_name="{S}"}}')]),
    ],
    (SERVICE,),
)
