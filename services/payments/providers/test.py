"""The provider `test`: it moves no money, but keeps a ledger of its own, and fails as real ones do.

tok_ok  tok_declined  tok_insufficient_funds  tok_slow (2 s)  tok_timeout (charges, never answers)
tok_error (500 once, then charges)
"""

from chassis import clock, deadline
from chassis.errors import OutcomeUnknown
from chassis.store import Collection, Doc, Duplicate
from services.payments.messages import PaymentDeclined
from services.payments.providers import TIMEOUT, Capture

ledger = Collection("test_provider_ledger")
"""{_id: key, captured, refunded, barred, failed}: as if it were the provider's own."""

_CHARGED = frozenset({"tok_ok", "tok_slow", "tok_timeout", "tok_error"})
_DECLINED = {"tok_declined": "card declined", "tok_insufficient_funds": "insufficient funds"}


class TestProvider:
    """Answers from the ledger."""

    name = "test"

    def charge(self, key: str, amount: int, currency: str, token: str) -> None:
        if token not in _CHARGED:
            raise PaymentDeclined(_DECLINED.get(token, "unknown payment token"))
        if token == "tok_slow":  # noqa: S105 - a name, not a secret
            self._take(2.0)
        if token == "tok_error" and self._fails_first(key):  # noqa: S105
            raise OutcomeUnknown("the provider answered 500")
        self._capture(key, amount)
        if token == "tok_timeout":  # noqa: S105
            self._take(TIMEOUT)
            raise OutcomeUnknown("the provider did not answer in time")

    def find(self, key: str) -> Capture | None:
        entry = ledger.get(key)
        return _capture(entry) if entry and entry["captured"] else None

    def cancel(self, key: str) -> Capture:
        self._open(key)
        barred = ledger.update(key, {"$set": {"barred": True}})
        return self.refund(key) if barred and barred["captured"] else Capture(0, 0)

    def refund(self, key: str) -> Capture:
        entry = ledger.get(key)
        if entry is None:
            return Capture(0, 0)
        refunded = ledger.update(key, {"$set": {"refunded": entry["captured"]}}, when={"captured": entry["captured"]})
        return _capture(refunded or entry)

    def _capture(self, key: str, amount: int) -> None:
        self._open(key)
        if ledger.update(key, {"$set": {"captured": amount}}, when={"captured": 0, "barred": False}):
            return
        entry = ledger.get(key)
        if entry and entry["barred"]:
            raise PaymentDeclined("the payment was cancelled")

    def _fails_first(self, key: str) -> bool:
        self._open(key)
        return ledger.update(key, {"$set": {"failed": True}}, when={"failed": False}) is not None

    def _open(self, key: str) -> None:
        try:
            ledger.insert({"_id": key, "captured": 0, "refunded": 0, "barred": False, "failed": False})
        except Duplicate:
            pass  # it has been asked about before

    def _take(self, seconds: float) -> None:
        """Take that long, or as long as the caller waits, who then does not know."""
        left = deadline.remaining(TIMEOUT)
        clock.sleep(min(seconds, left))
        if left < seconds:
            raise OutcomeUnknown("the provider did not answer in time")


def _capture(entry: Doc) -> Capture:
    return Capture(entry["captured"], entry["refunded"])
