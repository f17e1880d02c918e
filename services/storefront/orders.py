"""Orders of the user, the timeline of one, and notifications."""

from typing import Annotated, Any

from pydantic import StringConstraints

from chassis.calls import ProblemResponse, in_parallel, on_behalf
from chassis.errors import NotFound
from chassis.schema import QueryParams
from chassis.web.pages import SIGNED_IN, Fragment, Page, Redirect
from services.storefront.checkout import orders
from services.storefront.session import Session
from services.storefront.site import NOT_CACHED, pages

PAGE_SIZE = 20
FINAL = ("confirmed", "rejected", "cancelled", "shipped", "delivered")
FAST_POLLS = 60
"""Polls a second apart; later ones are five seconds apart."""
notifications = on_behalf("notifications")


class PageQuery(QueryParams):
    cursor: Annotated[str, StringConstraints(max_length=2000)] = ""


class Poll(QueryParams):
    """How many polls there were."""

    polls: Annotated[str, StringConstraints(pattern=r"^\d{1,6}$")] = "0"


@pages.get("/shop/orders", query=PageQuery, auth=SIGNED_IN)
def orders_page(user: Session, query: PageQuery) -> Page:
    found = orders.get("/api/orders", token=user.access_token, query=_page(query)).body
    return Page("orders/list.html", items=found["items"], more=found["nextCursor"], headers=NOT_CACHED)


@pages.get("/shop/orders/{id}", auth=SIGNED_IN, errors=(NotFound,))
def order_page(user: Session, id: str) -> Page:
    """Show an order and what has happened to it; while it is pending, the page follows it."""
    return Page("orders/order.html", headers=NOT_CACHED, **_order(user, id, polls=0))


@pages.get("/shop/orders/{id}/progress", query=Poll, auth=SIGNED_IN, errors=(NotFound,))
def progress(user: Session, id: str, query: Poll) -> Page:
    """Show the part of the page that follows the order."""
    values = _order(user, id, polls=int(query.polls) + 1)
    return Fragment("orders/order.html", block="progress", headers=NOT_CACHED, **values)


@pages.post("/shop/orders/{id}/resume", auth=SIGNED_IN, errors=(NotFound,))
def resume(user: Session, id: str, is_fragment: bool) -> Page | Redirect:
    """Have the payment looked at again, after the bank sent the buyer back."""
    orders.post("/api/orders/{id}/resume", id=id, token=user.access_token, accept=(404, 409))
    if not is_fragment:
        return Redirect(f"/shop/orders/{id}")
    return Fragment("orders/order.html", block="progress", headers=NOT_CACHED, **_order(user, id, polls=1))


@pages.post("/shop/orders/{id}/cancel", auth=SIGNED_IN, errors=(NotFound,))
def cancel(user: Session, id: str) -> Redirect:
    orders.post("/api/orders/{id}/cancel", id=id, token=user.access_token, accept=(409,))
    return Redirect(f"/shop/orders/{id}")


@pages.get("/shop/notifications", query=PageQuery, auth=SIGNED_IN)
def notifications_page(user: Session, query: PageQuery) -> Page:
    found = notifications.get("/api/notifications", token=user.access_token, query=_page(query)).body
    return Page("notifications.html", items=found["items"], more=found["nextCursor"], headers=NOT_CACHED)


def _order(user: Session, id: str, polls: int) -> dict[str, Any]:
    """Return what the page of an order shows; its timeline may be missing."""
    options: dict[str, Any] = {"id": id, "token": user.access_token}
    order, timeline = in_parallel(
        lambda: orders.get("/api/orders/{id}", **options).body,
        lambda: orders.get("/api/orders/{id}/timeline", **options).body["items"],
    )
    if isinstance(order.error, ProblemResponse) and order.error.status == 404:
        raise NotFound("order")
    return {
        "order": order.value,
        "timeline": timeline.or_else([]),
        "is_final": order.value["status"] in FINAL,
        "polls": polls,
        "interval_s": 1 if polls < FAST_POLLS else 5,
    }


def _page(query: PageQuery) -> dict[str, Any]:
    return {"limit": PAGE_SIZE, "cursor": query.cursor or None}
