"""The provider `test`: it moves no money, keeps a ledger, and fails as real providers do.

tok_ok  tok_declined  tok_insufficient_funds  tok_slow (2 s)  tok_timeout (charges, but never answers)
tok_error (500 once, then charges)  tok_action (charges once the buyer approves it on the page of `bank`)
"""

from collections.abc import Iterator
from datetime import datetime

from chassis import clock, deadline
from chassis.errors import OutcomeUnknown
from chassis.store import Collection, Doc, Duplicate
from services.payments.messages import PaymentDeclined
from services.payments.providers import TIMEOUT_S, Capture, Held
from services.payments.settings import settings

ledger = Collection("test_provider_ledger")
"""{_id: key, captured, refunded, blocked, failed, asked, refused}: stands for the data of the provider.

`asked` is the amount that the buyer may approve at the bank; before 0.3.0 there was neither that nor `refused`.
"""

_CHARGED = frozenset({"tok_ok", "tok_slow", "tok_timeout", "tok_error"})
_DECLINED = {"tok_declined": "card declined", "tok_insufficient_funds": "insufficient funds"}


_REFUSED = "the buyer refused it at the bank"


class TestProvider:
    """A provider that answers from the ledger."""

    name = "test"

    def charge(self, key: str, amount: int, currency: str, token: str, waits: bool = False) -> str:
        if token == "tok_action":  # noqa: S105 - a name, not a secret
            return self._ask_buyer(key, amount, waits)
        if token not in _CHARGED:
            raise PaymentDeclined(_DECLINED.get(token, "unknown payment token"))
        if token == "tok_slow":  # noqa: S105 - a name, not a secret
            self._delay(2.0)
        if token == "tok_error" and self._fails_first(key):  # noqa: S105
            raise OutcomeUnknown("the provider answered 500")
        self._capture(key, amount)
        if token == "tok_timeout":  # noqa: S105
            self._delay(TIMEOUT_S)
            raise OutcomeUnknown("the provider did not answer in time")
        return ""

    def refusal(self, key: str) -> str:
        entry = ledger.get(key) or {}
        return _REFUSED if entry.get("refused") else ""

    def answer(self, key: str, approves: bool) -> None:
        """Let the buyer answer the bank. Only the first answer counts, and none after the payment was canceled."""
        entry = ledger.get(key) or {}
        change = {"captured": entry.get("asked", 0)} if approves else {"refused": True}
        ledger.update(key, {"$set": change}, when={"captured": 0, "blocked": False, "refused": False})

    def find(self, key: str) -> Capture | None:
        entry = ledger.get(key)
        return _capture(entry) if entry and entry["captured"] else None

    def cancel(self, key: str) -> Capture:
        self._insert(key)
        blocked = ledger.update(key, {"$set": {"blocked": True}})
        return self.refund(key) if blocked and blocked["captured"] else Capture(0, 0)

    def refund(self, key: str) -> Capture:
        entry = ledger.get(key)
        if entry is None:
            return Capture(0, 0)
        refunded = ledger.update(key, {"$set": {"refunded": entry["captured"]}}, when={"captured": entry["captured"]})
        return _capture(refunded or entry)

    def held_since(self, since: datetime) -> Iterator[Held]:
        for entry in ledger.iterate():  # it keeps no times
            if entry["captured"]:
                yield Held(entry["_id"], entry["_id"], entry["captured"], entry["refunded"], "")

    def _ask_buyer(self, key: str, amount: int, waits: bool) -> str:
        self._insert(key, asked=amount)
        if not waits:
            ledger.update(key, {"$set": {"blocked": True}}, when={"captured": 0})
        entry = ledger.get(key) or {}
        if entry["captured"]:
            return ""
        if entry["blocked"] or entry.get("refused"):
            raise PaymentDeclined(_REFUSED if entry.get("refused") else "the buyer did not confirm it at the bank")
        return f"{settings().public_url.rstrip('/')}/api/payments/bank/{key}"

    def _capture(self, key: str, amount: int) -> None:
        self._insert(key)
        if ledger.update(key, {"$set": {"captured": amount}}, when={"captured": 0, "blocked": False}):
            return
        entry = ledger.get(key)
        if entry and entry["blocked"]:
            raise PaymentDeclined("the payment was cancelled")

    def _fails_first(self, key: str) -> bool:
        self._insert(key)
        return ledger.update(key, {"$set": {"failed": True}}, when={"failed": False}) is not None

    def _insert(self, key: str, asked: int = 0) -> None:
        amounts = {"captured": 0, "refunded": 0, "asked": asked}
        try:
            ledger.insert({"_id": key, **amounts, "blocked": False, "failed": False, "refused": False})
        except Duplicate:
            pass  # an earlier call inserted it

    def _delay(self, seconds: float) -> None:
        """Sleep that long, or until the caller's deadline. Raises OutcomeUnknown at the deadline."""
        left_s = deadline.remaining(TIMEOUT_S)
        clock.sleep(min(seconds, left_s))
        if left_s < seconds:
            raise OutcomeUnknown("the provider did not answer in time")


def _capture(entry: Doc) -> Capture:
    return Capture(entry["captured"], entry["refunded"])
