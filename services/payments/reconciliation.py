"""Reconciliation: the charges and refunds at the provider against the payments recorded here, both ways, over a window.

at the provider ──► is it recorded, once, with this amount and currency?
recorded        ──► does the provider hold it?        (the invariants of the audit)
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from chassis import clock
from chassis.audit import BATCH, Audit, Finding, Suspect
from chassis.store import Doc
from services.payments import application, invariants, repository
from services.payments.providers import Held, by_name
from services.payments.providers.stripe_records import intents
from services.payments.settings import settings


def over(window_s: float) -> Audit:
    """Return the audit of what was charged in the last `window_s` seconds by the provider of new payments."""
    name = settings().payment_provider
    held: dict[str, list[Held]] = defaultdict(list)

    def ids() -> Iterator[str]:
        for each in by_name(name).held_since(clock.parse_timestamp(clock.timestamp_ago(window_s))):
            held[each.key].append(each)
        yield from list(held)
        for payment in repository.payments.iterate({"createdAt": {"$gte": clock.timestamp_ago(window_s)}}):
            if payment["_id"] not in held and payment["provider"] == name:
                yield payment["_id"]

    def check(ids: list[str]) -> Iterable[Suspect]:
        known = {payment["_id"]: payment for payment in repository.payments.find({"_id": {"$in": ids}}, limit=BATCH)}
        for id in ids:
            if id in known:
                yield from _check_payment(known[id], held.get(id, []))
            else:
                yield from _check_unknown(id, held[id])

    return Audit("charge", ids, check)


def _check_unknown(id: str, held: list[Held]) -> Iterator[Finding]:
    for each in held:
        if each.refunded < each.captured:
            yield Finding(
                id, "I1", f"the provider holds {each.captured - each.refunded} ({each.id}), but no payment is recorded"
            )


def _check_payment(payment: Doc, held: list[Held]) -> Iterator[Finding]:
    id, stored = payment["_id"], intents.get(payment["_id"]) or {}
    for each in held:
        if each.currency and each.currency != payment["currency"]:
            yield Finding(id, "I2", f"captured in {each.currency} instead of {payment['currency']}")
        if stored and each.id != stored["intentId"] and each.refunded < each.captured:
            yield Finding(id, "I1", f"the provider holds {each.captured - each.refunded} a second time ({each.id})")
    capture = application.find_capture(payment)
    if payment["status"] == "completed" and capture.refunded and not payment["refundPending"]:
        yield Finding(id, "I1", f"{capture.refunded} was refunded at the provider, but its order is paid")
    yield from invariants.check_payment(payment, capture.captured, capture.refunded)
