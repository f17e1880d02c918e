"""Telemetry and health of a process: log lines, metrics, traces, probes."""
