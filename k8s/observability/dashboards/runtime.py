"""Processes and their Python runtime."""

from panels import OF_SERIES, board, row, timeseries
from queries import rate

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
                    "CPU",
                    PROCESS + f"rate(process_cpu_seconds_total{{{RUNTIME}}}[$__rate_interval])",
                    service=OF_SERIES,
                    about="Cores; a process uses at most one.",
                ),
                timeseries(
                    "Memory", PROCESS + f"process_resident_memory_bytes{{{RUNTIME}}}", unit="bytes", service=OF_SERIES
                ),
                timeseries(
                    "Uptime", PROCESS + f"time() - process_start_time_seconds{{{RUNTIME}}}", unit="s", service=OF_SERIES
                ),
                timeseries(
                    "Restarts in 10 minutes",
                    PROCESS + f"changes(process_start_time_seconds{{{RUNTIME}}}[10m])",
                    service=OF_SERIES,
                    limit=3,
                ),
                timeseries(
                    "Restarts of jobs in 5 minutes",
                    "{{service}} {{process}} {{job_name}}: "
                    "sum by (service, process, job_name) (increase(mercato_job_restarts_total[5m]))",
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
                    "Lost log lines",
                    "{{service}}: " + rate("mercato_log_lines_lost_total", "service"),
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
                timeseries("Open file descriptors", PROCESS + f"process_open_fds{{{RUNTIME}}}", service=OF_SERIES),
                timeseries(
                    "Free file descriptors",
                    PROCESS + f"process_max_fds{{{RUNTIME}}} - process_open_fds{{{RUNTIME}}}",
                    service=OF_SERIES,
                ),
                timeseries("Threads", PROCESS + f"mercato_process_threads{{{RUNTIME}}}", service=OF_SERIES),
                timeseries(
                    "Calls in flight",
                    "{{service}} to {{server_address}}: sum by (service, server_address) (mercato_bulkhead_in_use)",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Shed requests",
                    "{{service}}: " + rate("mercato_http_server_requests_shed_total", "service"),
                    unit="reqps",
                    service=OF_SERIES,
                    about="Requests rejected because no worker thread was free.",
                ),
            ],
        ),
    ],
)
