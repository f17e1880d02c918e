"""Processes and their Python runtime."""

from board import board, row
from looks import CORES, PER_S
from panels import OF_SERIES, timeseries
from queries import rate, series, total

PROCESS = "{{service}} {{process}} {{pod}}: "

runtime = board(
    "runtime",
    "processes",
    [
        row(
            "Processes",
            [
                timeseries(
                    "CPU",
                    PROCESS + f"rate({series('process_cpu_seconds_total')}[$__rate_interval])",
                    about="A process uses at most one core.",
                    unit=CORES,
                    service=OF_SERIES,
                ),
                timeseries(
                    "Memory",
                    PROCESS + series("process_resident_memory_bytes"),
                    about="Resident memory of each process.",
                    unit="bytes",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Uptime",
                    PROCESS + f"time() - {series('process_start_time_seconds')}",
                    about="Time since the start of each process.",
                    unit="s",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Restarts of processes in 10 minutes",
                    PROCESS + f"changes({series('process_start_time_seconds')}[10m])",
                    about="How often a process started again; three restarts raise an alert.",
                    service=OF_SERIES,
                    width=6,
                    limit=3,
                ),
                timeseries(
                    "Restarts of jobs in 5 minutes",
                    "{{service}} {{process}} {{job_name}}: "
                    f"sum by (service, process, job_name) (increase({series('mercato_job_restarts_total')}[5m]))",
                    about="How often a job of a process crashed and started again; three restarts raise an alert.",
                    service=OF_SERIES,
                    width=6,
                    limit=3,
                ),
                timeseries(
                    "Down",
                    f"{PROCESS}1 - {series('up')}",
                    about="1 while the metrics endpoint of a process cannot be scraped.",
                    service=OF_SERIES,
                    width=6,
                    limit=1,
                ),
                timeseries(
                    "Lost log lines",
                    "{{service}}: " + rate("mercato_log_lines_lost_total", "service"),
                    about="Log lines per second that could not be written or exported.",
                    unit=PER_S,
                    service=OF_SERIES,
                    width=6,
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
                    about="Runs of the garbage collector per second; generation 2 pauses a process the longest.",
                    unit=PER_S,
                    service=OF_SERIES,
                ),
                timeseries(
                    "Objects collected",
                    "{{service}} {{process}}: " + rate("python_gc_objects_collected_total", "service, process"),
                    about="Objects per second that only the garbage collector could free.",
                    unit=PER_S,
                    service=OF_SERIES,
                ),
                timeseries(
                    "Open file descriptors",
                    PROCESS + series("process_open_fds"),
                    about="Files and connections that each process has open.",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Free file descriptors",
                    PROCESS + f"{series('process_max_fds')} - {series('process_open_fds')}",
                    about="Further files and connections that each process may open.",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Threads",
                    PROCESS + series("mercato_process_threads"),
                    about="Threads of each process, idle ones included.",
                    service=OF_SERIES,
                ),
                timeseries(
                    "Calls in flight",
                    "{{service}} to {{server_address}}: " + total("mercato_bulkhead_in_use", "service, server_address"),
                    about="Calls that wait for a response; at most half of the threads of a process call one service.",
                    service=OF_SERIES,
                ),
            ],
        ),
    ],
)
