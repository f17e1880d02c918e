"""One service, chosen by a variable: inbound requests, outbound calls, store, logs."""

from board import board, row, variable
from looks import CIRCUIT, outcomes
from panels import heatmap, logs, states, timeseries
from queries import largest, quantile, rate, series

ONE = 'service="$service"'
FAILED = f'{ONE}, error_type!=""'
S = "$service"
UP = 'up{job="mercato", cluster=~"$cluster", namespace=~"$namespace"}'
SERVER, CLIENT = "http_server_request_duration_seconds", "http_client_request_duration_seconds"
STORE = "db_client_operation_duration_seconds"
OPERATION = "{{db_operation_name}} {{db_collection_name}}: "

service = board(
    "service",
    "service",
    [
        row(
            "Inbound requests",
            [
                timeseries(
                    "Requests by route",
                    "{{http_request_method}} {{http_route}}: "
                    + rate(f"{SERVER}_count", "http_request_method, http_route", ONE),
                    about="Requests per second of each route, internal ones too.",
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Responses by status",
                    "{{http_response_status_code}}: " + rate(f"{SERVER}_count", "http_response_status_code", ONE),
                    about="Responses per second by status: 2xx green, 4xx orange, 5xx red.",
                    unit="reqps",
                    service=S,
                    overrides=outcomes(),
                ),
                timeseries(
                    "Duration of requests, p95",
                    "{{http_route}}: " + quantile(0.95, SERVER, "http_route", ONE),
                    about="95 % of the requests of each route take at most this long.",
                    unit="s",
                    service=S,
                ),
                heatmap(
                    "Durations of requests",
                    rate(f"{SERVER}_bucket", "le", ONE),
                    about="Requests per second by duration; a dot is one request and links to its trace.",
                    service=S,
                    width=12,
                ),
                timeseries(
                    "Rejected and replayed requests",
                    "shed: " + rate("mercato_http_server_requests_shed_total", where=ONE),
                    "rate limited, {{http_route}}: "
                    + rate("mercato_http_server_rate_limited_total", "http_route", ONE),
                    "deadline missed, {{http_route}}: "
                    + rate("mercato_http_server_deadline_misses_total", "http_route", ONE),
                    "idempotent replay, {{http_route}}: "
                    + rate("mercato_http_server_idempotent_replays_total", "http_route", ONE),
                    about="Requests per second without a free thread (503), over a rate limit (429), too late (504), "
                    "or answered with the stored response of their idempotency key.",
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
                    "Calls by route",
                    "{{server_address}} {{url_template}} {{error_type}}: "
                    + rate(f"{CLIENT}_count", "server_address, url_template, error_type", ONE),
                    about="Calls per second by called service and route; failed ones with the kind of failure.",
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Duration of calls, p95",
                    "{{server_address}} {{url_template}}: "
                    + quantile(0.95, CLIENT, "server_address, url_template", ONE),
                    about="95 % of the calls take at most this long, with their retries.",
                    unit="s",
                    service=S,
                ),
                states(
                    "Circuit breakers of this service",
                    "{{server_address}}: " + largest("mercato_circuit_breaker_state", "server_address", ONE),
                    CIRCUIT,
                    about="The circuit breaker for each called service: open means that no call is sent.",
                    service=S,
                ),
                timeseries(
                    "Changes of circuit breakers in 5 minutes",
                    "{{server_address}}: sum by (server_address) "
                    f"(increase({series('mercato_circuit_breaker_changes_total', ONE)}[5m])) "
                    f"or 0 * {largest('mercato_circuit_breaker_state', 'server_address', ONE)}",
                    about="How often the circuit breaker for each called service changed its state.",
                    service=S,
                ),
                timeseries(
                    "Retries of calls",
                    "{{server_address}}: " + rate("mercato_http_client_retries_total", "server_address", ONE),
                    "{{server_address}}, budget exhausted: "
                    + rate("mercato_retry_budget_exhausted_total", "server_address", ONE),
                    about="Repeated calls per second, and retries dropped because the retry budget was empty.",
                    unit="reqps",
                    service=S,
                ),
                timeseries(
                    "Retry budget left",
                    "{{server_address}}: min by (server_address) "
                    f"({series('mercato_retry_budget_remaining', ONE)})",
                    about="Retries that the process with the smallest budget may still make.",
                    service=S,
                ),
                timeseries(
                    "Bulkheads in use",
                    "{{server_address}}: " + largest("mercato_bulkhead_in_use", "server_address", ONE),
                    about="Calls in flight of the busiest process; at most half of its threads call one service.",
                    service=S,
                    width=12,
                ),
                timeseries(
                    "Calls not sent or too late",
                    "{{server_address}}, bulkhead full: "
                    + rate("mercato_bulkhead_rejected_total", "server_address", ONE),
                    "{{server_address}}, deadline missed: "
                    + rate("mercato_http_client_deadline_misses_total", "server_address", ONE),
                    about="Calls per second that found the bulkhead full, or got no response in time.",
                    unit="reqps",
                    service=S,
                    width=12,
                ),
            ],
        ),
        row(
            "Store",
            [
                timeseries(
                    "Store operations",
                    OPERATION + rate(f"{STORE}_count", "db_operation_name, db_collection_name", ONE),
                    about="Operations per second by kind and collection.",
                    unit="ops",
                    service=S,
                    width=12,
                ),
                timeseries(
                    "Duration of store operations, p95",
                    OPERATION + quantile(0.95, STORE, "db_operation_name, db_collection_name", ONE),
                    about="95 % of the operations take at most this long.",
                    unit="s",
                    service=S,
                    width=12,
                ),
                timeseries(
                    "Store unavailable",
                    "{{access}}: " + largest("mercato_store_unavailable_seconds", "access", ONE),
                    about="Time for which every read or write of a process has failed; above 15 s an alert fires.",
                    unit="s",
                    service=S,
                    width=12,
                    limit=15,
                ),
                timeseries(
                    "Failed store operations",
                    "{{error_type}}: " + rate(f"{STORE}_count", "error_type", FAILED),
                    "all: "
                    + rate(f"{STORE}_count", where=ONE + ', error_type!=""')
                    + " or 0 * "
                    + rate(f"{STORE}_count", where=ONE),
                    about="Operations per second that failed, by kind of failure.",
                    unit="ops",
                    service=S,
                    width=12,
                ),
            ],
        ),
        row("Logs", [logs("Log lines", f'{{service_name="{S}"}}', about="Log lines of the service, from Loki.")]),
    ],
    (variable("service", "Service", UP, "orders"),),
)
