"""The payment provider port. Every call carries the payment's key, and may be repeated under it.

"Not found" proves nothing: a charge may still be on its way. Only `cancel` settles that: it refunds what was captured,
and bars a charge that comes late.
"""

from dataclasses import dataclass
from typing import Protocol

TIMEOUT = 3.0
"""Seconds that a provider may take."""


@dataclass(frozen=True)
class Capture:
    """What the provider holds under a key, in minor units."""

    captured: int
    refunded: int


class Provider(Protocol):
    """Raises OutcomeUnknown where the provider's answer did not come."""

    name: str

    def charge(self, key: str, amount: int, currency: str, token: str) -> None:
        """Capture the amount. Raises PaymentDeclined."""

    def find(self, key: str) -> Capture | None:
        """What is captured under the key, or None where nothing is known of it."""

    def cancel(self, key: str) -> Capture:
        """Refund what was captured and bar any later charge; what was captured and refunded in the end."""

    def refund(self, key: str) -> Capture:
        """Refund what was captured."""
