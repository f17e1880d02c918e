"""Checkout: the total that is shown is the one that is charged, or the order is refused and nothing is lost."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from chassis import clock
from chassis.calls import ProblemResponse, on_behalf
from chassis.errors import NotAttempted, OutcomeUnknown
from chassis.schema import Id
from chassis.web.pages import SIGNED_IN, Form, Page, Redirect
from services.storefront import cart as carts
from services.storefront.session import Session
from services.storefront.site import NOT_CACHED, pages, translate

orders = on_behalf("orders")
Method = Literal["tok_ok", "tok_declined", "tok_insufficient_funds", "tok_action"]


class Checkout(Form):
    """What the buyer has seen; the key makes a second click, a reload or another tab the same order."""

    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
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
        order = orders.post("/api/orders", token=user.access_token, key=form.key, json=body).body
    except ProblemResponse as problem:
        return _refused(problem)
    except NotAttempted:
        notice = translate("Orders cannot be taken just now. Your cart is kept, and nothing was charged.")
        return _review(notice, status=503, key=form.key)
    except OutcomeUnknown:
        notice = translate("We do not know yet whether your order arrived. Press the button again: you pay once.")
        return _review(notice, status=503, key=form.key)
    return Redirect(f"/shop/orders/{order['id']}")


def _refused(problem: ProblemResponse) -> Page | Redirect:
    if order := problem.body.get("orderId"):
        if problem.kind != "price_changed":
            return Redirect(f"/shop/orders/{order}")  # it says why it was rejected
        return _review(translate("A price has changed. Look at the new total before you order."), status=409)
    if problem.kind == "price_changed":
        return _review(translate("A price has changed. Look at the new total before you order."), status=409)
    if problem.status in (404, 412):
        return _review(translate("Your cart has changed. Look at it before you order."), status=409)
    if problem.status in (409, 422):
        return _review(problem.detail, status=409)
    raise problem


def _review(notice: str = "", status: int = 200, key: str = "") -> Page:
    cart: dict[str, Any] = carts.read()
    return Page(
        "checkout.html",
        status=status,
        headers=NOT_CACHED,
        cart=cart,
        can_order=bool(cart["items"]) and cart["total"] is not None,
        key=key or clock.new_id(),
        notice=notice,
    )
