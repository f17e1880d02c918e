"""The port of payment providers. Every call carries the key of the payment, and may be repeated under it.

"Not found" proves nothing: a charge may still be on its way. Only `cancel` settles the question: it refunds what was
captured, and rejects a charge that arrives later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Protocol

TIMEOUT_S = 3.0
"""Time that a provider has to answer."""


@dataclass(frozen=True)
class Capture:
    """What the provider holds under a key, in minor units."""

    captured: int
    refunded: int


@dataclass(frozen=True)
class Held:
    """A capture as the provider lists it, in minor units; `id` is the provider's own."""

    id: str
    key: str
    captured: int
    refunded: int
    currency: str


class Provider(Protocol):
    """A payment provider. Every method raises OutcomeUnknown if the answer does not arrive."""

    name: str

    def charge(self, key: str, amount: int, currency: str, token: str, waits: bool = False) -> str:
        """Capture the amount, in minor units. Raises PaymentDeclined.

        If it `waits` and the buyer has to confirm the payment, return the address for that, and capture nothing yet;
        otherwise return "". Without `waits`, such a payment is canceled and declined.
        """

    def refusal(self, key: str) -> str:
        """Return why the provider declined a payment for good, or "" if it did not."""

    def find(self, key: str) -> Capture | None:
        """Return what is captured under the key, or None if the provider does not know it."""

    def cancel(self, key: str) -> Capture:
        """Refund what was captured, reject any later charge, and return what was captured and refunded."""

    def refund(self, key: str) -> Capture:
        """Refund what was captured, and return what was captured and refunded."""

    def held_since(self, since: datetime) -> Iterator[Held]:
        """Yield what was captured under any key of this platform since a time, or earlier."""


@cache
def by_name(name: str) -> Provider:
    """Return the provider of a payment. Its library is imported only if it is used."""
    if name == "stripe":
        from services.payments.providers.stripe import StripeProvider

        return StripeProvider()
    from services.payments.providers.test import TestProvider

    return TestProvider()
