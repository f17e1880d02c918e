"""PromQL that several dashboards share. Each query selects the processes of one platform by `job` and `namespace`."""

HERE = 'job="mercato", cluster=~"$cluster", namespace=~"$namespace"'
"""Selects the series of the platform that the variables of a dashboard choose, recorded ones too."""
PUBLIC = 'http_route!~"/internal/.*"'
HOUR_AGO = " offset 1h"


def series(metric: str, where: str = "") -> str:
    """Return the selector of a metric."""
    return f"{metric}{{{', '.join(filter(None, (HERE, where)))}}}"


def largest(metric: str, by: str, where: str = "") -> str:
    """Return the maximum of a gauge over processes, for each combination of these labels."""
    return f"max by ({by}) ({series(metric, where)})"


def total(metric: str, by: str, where: str = "") -> str:
    """Return the sum of a gauge over processes, for each combination of these labels."""
    return f"sum by ({by}) ({series(metric, where)})"


def rate(metric: str, by: str = "", where: str = "", offset: str = "") -> str:
    """Return the rate per second of a counter, for each combination of these labels."""
    return f"sum{_by(by)}(rate({series(metric, where)}[$__rate_interval]{offset}))"


def increase(metric: str, by: str = "", where: str = "") -> str:
    """Return by how much a counter grew in the selected time range, as a whole number."""
    return f"round(sum{_by(by)}(increase({series(metric, where)}[$__range])))"


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    """Return the q-quantile of a histogram in seconds, for each combination of these labels."""
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', ', '.join(filter(None, ('le', by))), where)})"


def or_zero(query: str) -> str:
    """Return the query of a single value, 0 where it has none."""
    return f"{query} or vector(0)"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
