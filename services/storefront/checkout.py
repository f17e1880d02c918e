"""Checkout: the total that is shown is the one that is charged, or the order is refused and nothing is lost."""

from hashlib import blake2b
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from chassis import deadline
from chassis.calls import ProblemResponse, on_behalf
from chassis.errors import NotAttempted, TransientError
from chassis.schema import Id
from chassis.web.idempotency import REPLAYED
from chassis.web.pages import SIGNED_IN, Form, Page, Redirect
from services.storefront import cart as carts
from services.storefront import session
from services.storefront.session import Session
from services.storefront.settings import settings
from services.storefront.site import NOT_CACHED, pages, translate

orders = on_behalf("orders")
_ORDER_SHARE = 0.6
"""Share of the deadline that the order may take; the rest is for the page that says what became of it."""
_SAME_KEY = "key_in_use", "key_reused"
"""Kinds of errors that say: this cart was ordered before, and perhaps with another card."""
_IN_VAIN = "rejected", "cancelled"
Method = Literal["tok_ok", "tok_declined", "tok_insufficient_funds", "tok_action"]


class Checkout(Form):
    """What the buyer has seen."""

    cart_id: Id
    cart_version: Annotated[int, Field(ge=0)]
    total: Annotated[str, StringConstraints(max_length=30)]
    currency: Annotated[str, StringConstraints(max_length=3)]
    payment: Method


@pages.get("/shop/checkout", auth=SIGNED_IN)
def checkout_page() -> Page:
    return _review()


@pages.post("/shop/checkout", form=Checkout, auth=SIGNED_IN, invalid=lambda: _review())
def place(user: Session, form: Checkout) -> Page | Redirect:
    """Place the order of the cart as it was shown."""
    body = {
        "cartId": form.cart_id,
        "cartVersion": form.cart_version,
        "expectedTotal": form.total,
        "expectedCurrency": form.currency,
        "paymentToken": form.payment,
    }
    try:
        with deadline.within(settings().deadline * _ORDER_SHARE):
            order = _place(user, form, body)
    except ProblemResponse as problem:
        return _refused(problem)
    except NotAttempted:
        return _review(translate("Orders cannot be taken just now. Your cart is kept, and nothing was charged."), 503)
    except TransientError:
        notice = translate("We do not know yet whether your order arrived. Press the button again: you pay once.")
        return _review(notice, 503)
    return Redirect(f"/shop/orders/{order}")


def _place(user: Session, form: Checkout, body: dict[str, Any]) -> str:
    """Return the id of the order. If this cart was ordered before in vain, the order is another one."""
    token = user.access_token
    try:
        answer = orders.post("/api/orders", token=token, key=_key(user, form), json=body)
        if answer.headers.get(REPLAYED) != "true":
            return str(answer.body["id"])
        former = orders.get("/api/orders/{id}", id=answer.body["id"], token=token).body
    except ProblemResponse as problem:
        if problem.kind != "key_reused":  # with another card: the order before this one is the newest
            raise
        former = orders.get("/api/orders", token=token, query={"limit": 1}).body["items"][0]
        if former["status"] not in _IN_VAIN:
            raise
    if former["status"] not in _IN_VAIN:
        return str(former["id"])
    again = _key(session.allow_another_order(), form)
    return str(orders.post("/api/orders", token=token, key=again, json=body).body["id"])


def _key(user: Session, form: Checkout) -> str:
    """Return the Idempotency-Key: a second click, a reload or another tab is the same order of the same cart."""
    seen = f"{user.attempt}:{form.cart_id}:{form.cart_version}"
    return "cart:" + blake2b(seen.encode(), digest_size=16).hexdigest()


def _refused(problem: ProblemResponse) -> Page | Redirect:
    order = problem.body.get("orderId")
    if order:
        session.allow_another_order()
    if problem.kind == "price_changed":
        return _review(translate("A price has changed. Look at the new total before you order."), 409)
    if order:
        return Redirect(f"/shop/orders/{order}")  # it says why it was rejected
    if problem.kind in _SAME_KEY:
        notice = translate("This cart is being ordered already. Look at your orders before you order again.")
        return _review(notice, 409)
    if problem.status in (404, 412):
        return _review(translate("Your cart has changed. Look at it before you order."), 409)
    if problem.status in (409, 422):
        return _review(problem.detail, 409)
    raise problem


def _review(notice: str = "", status: int = 200) -> Page:
    cart: dict[str, Any] = carts.read()
    return Page(
        "checkout.html",
        status=status,
        headers=NOT_CACHED,
        cart=cart,
        can_order=bool(cart["items"]) and cart["total"] is not None,
        takes_payments=settings().payment_provider == "test",
        notice=notice,
    )
