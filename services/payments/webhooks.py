"""Webhooks of Stripe: each makes a job compare a payment with Stripe, and is stored until the job has done so.

    POST ─► verify ─► stripe_events {pending: true} ─► job: ask Stripe what it holds, decide from that ─► pending: false

Webhooks come late, twice and in any order. So their content decides nothing; only what Stripe answers does.
"""

import json
from typing import Any

from chassis import clock
from chassis.errors import DomainError, ErrorCategory, NotFound
from chassis.events.set_aside import SetAside
from chassis.store import Doc, Duplicate
from services.payments import application, repository
from services.payments.providers.stripe_records import events, intents
from services.payments.settings import settings

TOLERANCE_S = 300.0
"""Largest difference between the time in a signature and now, in both directions."""
KEPT_FOR_S = 4 * 24 * 3600.0
"""Longer than the three days for which Stripe repeats a webhook."""

_events = SetAside("process_webhooks")


class InvalidSignature(DomainError, category=ErrorCategory.FORBIDDEN):
    """The webhook is not from Stripe, or is too old or too new."""

    def __init__(self) -> None:
        super().__init__("Sign it with STRIPE_WEBHOOK_SECRET, and check the clock.")


class OtherAccount(DomainError, category=ErrorCategory.FORBIDDEN):
    """The webhook is about another Stripe account."""

    def __init__(self) -> None:
        super().__init__("Send the events of the account itself only.")


def receive(payload: bytes, signature: str) -> None:
    """Keep a webhook about a payment, once however often it comes. Raises NotFound, InvalidSignature, OtherAccount."""
    event = _verified(payload, signature)
    if event.get("account"):
        raise OtherAccount
    id, intent = event.get("id"), _intent_of(event.get("data"))
    payment = next((each["_id"] for each in intents.find({"intentId": intent}, limit=1)), None) if intent else None
    if payment is None or not isinstance(id, str):
        return  # not a payment of this shop; one that is confirmed has a stored intent
    keep(id, payment)


def keep(id: str, payment: str) -> None:
    """Have a payment compared with its provider, once for each id of an event."""
    try:
        events.insert({"_id": id, "payment": payment, "pending": True, "receivedAt": clock.timestamp()})
    except Duplicate:
        pass


def process() -> None:
    """Bring the payments that webhooks were about in line with Stripe."""
    _events.work_through(events, {"pending": True}, _process)


def delete_old() -> None:
    """Delete the events that Stripe does not repeat any more."""
    old = {"receivedAt": {"$lt": clock.timestamp_ago(KEPT_FOR_S)}}
    for event in events.find(old, sort="receivedAt"):
        events.delete(event["_id"], when={"pending": False})


def _process(event: Doc) -> None:
    payment = repository.payments.get(event["payment"])
    if payment is not None:
        application.reconcile(payment)
    events.update(event["_id"], {"$set": {"pending": False}})


def _verified(payload: bytes, signature: str) -> dict[str, Any]:
    import stripe

    secret = settings().stripe_webhook_secret.get_secret_value()
    if not secret:
        raise NotFound("webhook")
    try:
        text = payload.decode()
        stripe.WebhookSignature.verify_header(text, signature, secret, TOLERANCE_S)
        event = json.loads(text)
    except (stripe.SignatureVerificationError, ValueError):
        raise InvalidSignature from None
    if _signed_at(signature) > clock.now().timestamp() + TOLERANCE_S or not isinstance(event, dict):
        raise InvalidSignature
    return event


def _signed_at(signature: str) -> float:
    """Return the time in a signature that was verified: the library bounds the past alone."""
    return max(float(part[2:]) for part in signature.split(",") if part.startswith("t="))


def _intent_of(data: Any) -> str:
    """Return the id of the PaymentIntent that an event with these data is about; "" if there is none."""
    about = data.get("object") if isinstance(data, dict) else None
    if not isinstance(about, dict):
        return ""
    found = about.get("id") if about.get("object") == "payment_intent" else about.get("payment_intent")
    return found if isinstance(found, str) else ""
