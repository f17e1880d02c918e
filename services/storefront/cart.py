"""The cart: of the user, or of a guest until the first sign-in merges it."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from chassis.calls import ProblemResponse, on_behalf
from chassis.errors import ServiceError, TransientError
from chassis.observe.log import log
from chassis.schema import Id
from chassis.web.pages import OPTIONAL, Form, Fragment, Page, Redirect
from services.storefront import session
from services.storefront.site import NOT_CACHED, pages, translate

MAX_UNITS = 99
carts = on_behalf("carts")
EMPTY: dict[str, Any] = {"id": "", "items": [], "total": None, "currency": None, "problems": [], "version": 0}


class NewLine(Form):
    """A product, or one of its variants, and how many units of it."""

    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=MAX_UNITS)] = 1


class Quantity(Form):
    quantity: Annotated[int, Field(ge=0, le=MAX_UNITS)]


@dataclass(frozen=True)
class Owner:
    """Whose cart it is, as requests to `carts` say it."""

    id: str
    options: dict[str, Any]


def owner() -> Owner | None:
    """Return the owner of the cart of this session, or None if there is no cart yet. Merges the cart of a guest."""
    user = session.signed_in()
    known = session.current()
    if user is None:
        return Owner(known.cart_id, {"headers": {"Cart-Token": known.cart_token}}) if known.cart_id else None
    if known.cart_id:
        _merge(user, known)
    return Owner("mine", {"token": user.access_token})


def read() -> dict[str, Any]:
    """Return the cart of this session; an empty one if there is none, or if it has expired."""
    who = owner()
    if who is None:
        return EMPTY
    try:
        found: dict[str, Any] = carts.get("/api/carts/{id}", id=who.id, **who.options).body
    except ProblemResponse as problem:
        if problem.status != 404:
            raise
        session.forget_cart()
        return EMPTY
    return found


@pages.get("/shop/cart", auth=OPTIONAL)
def cart_page() -> Page:
    """Show the cart at present prices."""
    return Page("cart.html", cart=read(), max_units=MAX_UNITS, headers=NOT_CACHED)


@pages.get("/shop/cart/summary", auth=OPTIONAL)
def summary() -> Page:
    """Show how many units the cart has; every page loads this part, and does without it while `carts` is away."""
    try:
        found = units(read())
    except TransientError:
        found = 0
    return Fragment("parts/summary.html", block="summary", units=found, added="", headers=NOT_CACHED)


@pages.post("/shop/cart/items", form=NewLine, auth=OPTIONAL)
def add(form: NewLine, is_fragment: bool) -> Page | Redirect:
    """Add a product to the cart; the first one makes the cart."""
    body = {"productId": form.product_id, "quantity": form.quantity}
    cart = _write(lambda who: carts.post("/api/carts/{id}/items", id=who.id, json=body, **who.options).body)
    if not is_fragment:
        return Redirect("/shop/cart")
    return Fragment("parts/summary.html", block="summary", units=units(cart), added=_name(cart, form.product_id))


@pages.post("/shop/cart/items/{product}", form=Quantity, auth=OPTIONAL)
def set_quantity(product: str, form: Quantity, is_fragment: bool) -> Page | Redirect:
    """Set the units of a line; 0 takes it out."""
    path, body = "/api/carts/{id}/items/{product}", {"quantity": form.quantity}
    cart = _write(lambda who: carts.put(path, id=who.id, product=product, json=body, **who.options).body)
    if not is_fragment:
        return Redirect("/shop/cart")
    return Fragment("cart.html", block="lines", cart=cart, max_units=MAX_UNITS)


def units(cart: dict[str, Any]) -> int:
    return sum(line["quantity"] for line in cart["items"])


def _write(work: Any) -> dict[str, Any]:
    """Change the cart of this session; make one for a guest who has none, or whose cart has expired."""
    who = owner()
    if who is not None:
        try:
            return dict(work(who))
        except ProblemResponse as problem:
            if problem.status != 404 or who.id == "mine":
                raise
    made = carts.post("/api/carts").body
    session.keep_cart(made["id"], made["token"])
    return dict(work(Owner(made["id"], {"headers": {"Cart-Token": made["token"]}})))


def _merge(user: session.Session, guest: session.Session) -> None:
    """Merge the cart of the guest into that of the user; if `carts` is away, the next page tries it again."""
    body = {"cartId": guest.cart_id, "token": guest.cart_token}
    try:
        carts.post("/api/carts/mine/merges", token=user.access_token, json=body)
    except ProblemResponse as problem:
        if problem.status in (401, 429):
            return
    except ServiceError as error:
        log.warning("cart not merged; the next page tries again", error=error)
        return
    session.forget_cart()


def _name(cart: dict[str, Any], id: str) -> str:
    return next((line["name"] for line in cart["items"] if line["productId"] == id), translate("The product"))
