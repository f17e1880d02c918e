"""The processes, and Python in them."""

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
                timeseries("Open descriptors", PROCESS + f"process_open_fds{{{RUNTIME}}}", service=OF_SERIES),
                timeseries(
                    "Descriptors left",
                    PROCESS + f"process_max_fds{{{RUNTIME}}} - process_open_fds{{{RUNTIME}}}",
                    service=OF_SERIES,
                ),
                timeseries("Threads", PROCESS + f"mercato_process_threads{{{RUNTIME}}}", service=OF_SERIES),
                timeseries(
                    "Threads that call others",
                    "{{service}} to {{server_address}}: sum by (service, server_address) (mercato_bulkhead_in_use)",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Threads wanting",
                    "{{service}}: " + rate("mercato_http_server_requests_shed_total", "service"),
                    unit="reqps",
                    service=OF_SERIES,
                    about="Requests refused for want of one.",
                ),
            ],
        ),
    ],
)
