"""Amounts in minor units as money."""

from queries import rate

from chassis.money import CURRENCIES as CODES
from chassis.money import digits

_COMMON = "EUR USD GBP CHF JPY CNY INR CAD AUD SEK NOK DKK PLN CZK BRL MXN".split()
CURRENCIES = [
    {
        "matcher": {"id": "byName", "options": code},
        "properties": [{"id": "unit", "value": f"currency:{code} "}, {"id": "decimals", "value": digits(code)}],
    }
    for code in _COMMON
]
"""Overrides that give amounts in these currencies their code and decimal places; others have their code as name."""


def per_hour(metric: str) -> str:
    """Return the amount per hour of a counter of minor units, for each currency with its own decimal places."""
    parts = []
    for places in sorted({digits(code) for code in CODES}):
        codes = "|".join(sorted(code for code in CODES if digits(code) == places))
        chosen = f'currency=~"{codes}"'
        parts.append(f"{rate(metric, 'currency', chosen)} * {3600 / 10**places:g}")
    return " or ".join(parts)
