"""What an operator sees of a process: log lines, metrics, traces, health."""
