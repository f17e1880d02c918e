"""PromQL that several dashboards share."""


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    """Return the q-quantile of a histogram in seconds, for each combination of these labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def rate(metric: str, by: str, where: str = "") -> str:
    """Return the rate per second of a counter, for each combination of these labels."""
    return f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"
