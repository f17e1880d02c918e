"""The provider `stripe`: a PaymentIntent for each payment, in two steps, so that `find` and `cancel` are exact.

    create, without a charge (key <order>:intent) ─► store its id ─► confirm, which charges (key <order>:confirm)
                                                                     └─► or asks the buyer: 3-D Secure, at the bank

An intent is confirmed only after its id is stored. So a payment without a stored id has captured nothing, and `cancel`
of such a payment stores a block in its place, which keeps a late attempt from storing an id. Stripe forgets keys after
about a day: from then on everything is done by the id, and Stripe's own rules keep an intent from being charged or
refunded twice. Search is never used: what it does not find may exist.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import stripe

from chassis import clock
from chassis.errors import OutcomeUnknown
from chassis.money import digits
from chassis.observe.log import log
from chassis.store import Doc, Duplicate
from services.payments.domain import CANCELLED
from services.payments.messages import PaymentDeclined
from services.payments.providers import Capture, Held
from services.payments.providers.stripe_http import HttpClient
from services.payments.providers.stripe_records import intents
from services.payments.settings import settings

API_VERSION = "2026-10-28.endive"

_DIGITS = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Currencies that Stripe writes with another number of decimal places than ISO 4217."""
_CANCELLED = "the payment was cancelled"
_NOT_CONFIRMED = "the buyer did not confirm it at the bank"
_CHARGES = "latest_charge"

T = TypeVar("T")


class StripeProvider:
    """Payments through Stripe. A token is the id of a PaymentMethod, `pm_...`, that the browser got from Stripe."""

    name = "stripe"

    def charge(self, key: str, amount: int, currency: str, token: str, waits: bool = False) -> str:
        intent = self._intent(key, amount, currency)
        if intent.status == "requires_confirmation" or _is_untried(intent):
            intent = self._confirm(key, intent.id, token)
        if intent.status == "requires_action":
            if waits and (url := _address(intent)):
                return url
            intent = self._cancel(intent.id)
            if intent.status == "canceled":
                raise PaymentDeclined(_NOT_CONFIRMED)
        _require_success(intent)
        return ""

    def refusal(self, key: str) -> str:
        intent = self._stored_intent(key)
        if intent and intent.status == "canceled":
            return CANCELLED
        refused = intent and intent.status == "requires_payment_method" and intent.last_payment_error
        return _reason(intent.last_payment_error) if refused else ""

    def find(self, key: str) -> Capture | None:
        intent = self._stored_intent(key)
        return _capture(intent) if intent and intent.amount_received else None

    def cancel(self, key: str) -> Capture:
        try:
            intents.insert({"_id": key, "intentId": "", "createdAt": clock.timestamp()})
            return Capture(0, 0)
        except Duplicate:
            intent = self._stored_intent(key)
        if intent is None:
            return Capture(0, 0)
        if intent.status not in ("succeeded", "canceled"):
            intent = self._cancel(intent.id)
        if intent.status == "succeeded":
            return self._refund(key, intent)
        if intent.status != "canceled":
            raise OutcomeUnknown(f"the payment is {intent.status}")
        return Capture(0, 0)

    def refund(self, key: str) -> Capture:
        intent = self._stored_intent(key)
        return self._refund(key, intent) if intent and intent.amount_received else Capture(0, 0)

    def held_since(self, since: datetime) -> Iterator[Held]:
        params: dict[str, Any] = {
            "created": {"gte": int(since.timestamp())},
            "limit": 100,
            "expand": [f"data.{_CHARGES}"],
        }
        while True:
            page = _known(lambda: self._payment_intents.list(params))
            for intent in page.data:
                if intent.amount_received and (key := intent.metadata.to_dict().get("order")):
                    capture = _capture(intent)
                    yield Held(intent.id, key, capture.captured, capture.refunded, intent.currency.upper())
            if not page.has_more:
                return
            params["starting_after"] = page.data[-1].id

    @cached_property
    def _client(self) -> Any:
        chosen = settings()
        return stripe.StripeClient(
            chosen.stripe_api_key.get_secret_value(),
            stripe_version=API_VERSION,
            base_addresses={"api": chosen.stripe_api_base},
            max_network_retries=0,
            http_client=HttpClient(chosen.stripe_api_base),
        )

    @property
    def _payment_intents(self) -> Any:
        return self._client.v1.payment_intents

    def _intent(self, key: str, amount: int, currency: str) -> Any:
        """Return the intent of a payment, created if it has none. Raises PaymentDeclined if it was canceled."""
        if (stored := intents.get(key)) is None:
            params = {
                "amount": to_stripe(amount, currency),
                "currency": currency.lower(),
                "metadata": {"order": key},
                "automatic_payment_methods": {"enabled": True, "allow_redirects": "always"},
            }
            intent = _decided(lambda: self._payment_intents.create(params, _with_key(f"{key}:intent")))
            try:
                intents.insert({"_id": key, "intentId": intent.id, "createdAt": clock.timestamp()})
                return intent
            except Duplicate:  # another attempt stored its own, or a block
                stored = intents.get(key)
        if not stored or not stored["intentId"]:
            raise PaymentDeclined(_CANCELLED)
        return self._retrieve(stored["intentId"])

    def _stored_intent(self, key: str) -> Any:
        """Return the intent of a payment as Stripe has it now, or None if none was ever confirmed."""
        stored: Doc = intents.get(key) or {}
        return self._retrieve(stored["intentId"]) if stored.get("intentId") else None

    def _retrieve(self, id: str) -> Any:
        return _known(lambda: self._payment_intents.retrieve(id, {"expand": [_CHARGES]}))

    def _confirm(self, key: str, id: str, token: str) -> Any:
        back = f"{settings().public_url.rstrip('/')}/shop/orders/{key}"
        params = {"payment_method": token, "return_url": back, "expand": [_CHARGES]}
        try:
            return _decided(lambda: self._payment_intents.confirm(id, params, _with_key(f"{key}:confirm")))
        except _UnexpectedState:
            return self._retrieve(id)

    def _cancel(self, id: str) -> Any:
        """Cancel an intent; return it as it is then, which is `succeeded` if a charge was faster."""
        try:
            return _known(lambda: self._payment_intents.cancel(id))
        except _UnexpectedState:
            return self._retrieve(id)

    def _refund(self, key: str, intent: Any) -> Capture:
        if _capture(intent).refunded < _capture(intent).captured:
            params = {"payment_intent": intent.id}  # without an amount: all that is left
            try:
                _known(lambda: self._client.v1.refunds.create(params, _with_key(f"{key}:refund")))
            except _UnexpectedState:
                pass  # refunded meanwhile
            intent = self._retrieve(intent.id)
        return _capture(intent)


class _UnexpectedState(Exception):
    """The object is in another state than the call needs: another call was faster."""


def to_stripe(amount: int, currency: str) -> int:
    """Return minor units as Stripe counts them. Raises PaymentDeclined if Stripe cannot charge this amount."""
    decimals = digits(currency)
    shift = _DIGITS.get(currency, decimals) - decimals
    factor: int = 10 ** abs(shift)
    if (shift < 0 and amount % factor) or (decimals == 3 and amount % 10):
        raise PaymentDeclined(f"the provider cannot charge this amount of {currency} exactly")
    return amount * factor if shift >= 0 else amount // factor


def from_stripe(amount: int, currency: str) -> int:
    """Return minor units of ISO 4217."""
    decimals = digits(currency)
    shift = decimals - _DIGITS.get(currency, decimals)
    factor: int = 10 ** abs(shift)
    return amount * factor if shift >= 0 else amount // factor


def _with_key(key: str) -> Any:
    return {"idempotency_key": key}


def _known(call: Callable[[], T]) -> T:
    """Return the result of a call to Stripe. Raises _UnexpectedState, OutcomeUnknown."""
    try:
        return call()
    except stripe.InvalidRequestError as error:
        if error.code in ("payment_intent_unexpected_state", "charge_already_refunded"):
            raise _UnexpectedState from error
        raise _unusable(error) from error
    except stripe.StripeError as error:
        raise _unusable(error) from error


def _decided(call: Callable[[], T]) -> T:
    """Return the result of a call that Stripe may refuse. Raises PaymentDeclined, _UnexpectedState, OutcomeUnknown."""
    try:
        return call()
    except stripe.CardError as error:
        raise PaymentDeclined(_reason(error.error)) from None
    except stripe.InvalidRequestError as error:
        if error.code == "payment_intent_unexpected_state":
            raise _UnexpectedState from error
        if error.code == "resource_missing" and error.param != "payment_method":
            raise _unusable(error) from error
        log.error("stripe refused a request", code=error.code, param=error.param)
        reason = "unknown payment token" if error.param == "payment_method" else "not accepted by the provider"
        raise PaymentDeclined(reason) from None
    except stripe.StripeError as error:
        raise _unusable(error) from error


def _unusable(error: stripe.StripeError) -> OutcomeUnknown:
    """Return the error for an answer that decides nothing: a wrong API key, a rate limit, a key in use."""
    log.error("stripe gave no usable answer", type=type(error).__name__, status=error.http_status, code=error.code)
    return OutcomeUnknown(f"the provider gave no usable answer: {type(error).__name__}")


def _reason(error: Any) -> str:
    code = getattr(error, "decline_code", None) or getattr(error, "code", None) or "card declined"
    return str(code).replace("_", " ")


def _address(intent: Any) -> str:
    """Return where the buyer confirms a payment; "" if Stripe wants something else than a redirect."""
    action = intent.next_action
    return str(action.redirect_to_url.url) if action and action.type == "redirect_to_url" else ""


def _is_untried(intent: Any) -> bool:
    return bool(intent.status == "requires_payment_method" and not intent.last_payment_error)


def _require_success(intent: Any) -> None:
    """Raises PaymentDeclined, OutcomeUnknown."""
    if intent.status == "succeeded":
        return
    if intent.status == "canceled":
        raise PaymentDeclined(_CANCELLED)
    if intent.status == "requires_payment_method":
        raise PaymentDeclined(_reason(intent.last_payment_error))
    raise OutcomeUnknown(f"the payment is {intent.status}")


def _capture(intent: Any) -> Capture:
    currency = intent.currency.upper()
    charge = intent.latest_charge
    refunded = 0 if charge is None or isinstance(charge, str) else charge.amount_refunded
    return Capture(from_stripe(intent.amount_received, currency), from_stripe(refunded, currency))
