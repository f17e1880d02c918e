"""Decisions on an order, and how its events change it.

pending -> confirmed -> shipped -> delivered
   |-> rejected  |
   +-> cancelled <+
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal

from chassis.errors import DomainError, InvalidInput, NotFound
from chassis.messages import Event
from chassis.money import Money, decimal_string
from chassis.schema import Id
from services.orders.messages import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderItem,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
)
from services.products.messages import PricedItem


class WrongStatus(DomainError):
    """The order is in a status that does not allow the change."""

    def __init__(self, status: str, wanted: str) -> None:
        super().__init__(f"An order that is {status} cannot be {wanted}.", orderStatus=status)


class CancelledByBuyer(DomainError, kind="cancelled", title="Cancelled"):
    """The buyer canceled the order before it was confirmed."""

    def __init__(self) -> None:
        super().__init__("The order was canceled before it was confirmed.")


class PriceChanged(DomainError):
    """The order does not cost what the buyer expects; it was not placed."""

    def __init__(self, items: list[OrderItem], total: Money) -> None:
        super().__init__(
            "The price has changed. Check the new total, and order again if you agree.",
            items=[item.data() for item in items],
            totalAmount=str(total),
            currency=total.currency,
        )


class CancelRequested(Event, type="order.cancel_requested", key="order_id", public=False):
    """The buyer canceled while the checkout was running."""

    order_id: Id


class RefundNoted(Event, type="order.refund_noted", key="order_id", public=False):
    """`payments` refunded the payment."""

    order_id: Id


class RestockNoted(Event, type="order.restock_noted", key="order_id", public=False):
    """`inventory` made the units available again."""

    order_id: Id


EVENTS = (OrderPlaced, OrderConfirmed, OrderRejected, OrderCancelled, OrderShipped, OrderDelivered)
INTERNAL = (CancelRequested, RefundNoted, RestockNoted)
PAID = ("confirmed", "shipped", "delivered")
ENDED = ("rejected", "cancelled")


@dataclass(frozen=True)
class Order:
    """The state of an order, folded from its events; `version` counts them."""

    id: str = ""
    user_id: str = ""
    items: tuple[OrderItem, ...] = ()
    total_amount: str = ""
    currency: str = ""
    status: str = ""
    reason: str = ""
    payment_id: str = ""
    cancel_requested: bool = False
    refunded: bool = False
    restocked: bool = False
    version: int = 0
    created_at: str = ""
    updated_at: str = ""

    def apply(self, event: Event, time: str) -> "Order":
        """Return the order after an event. Raises ValueError for an event of another aggregate."""
        order = replace(self, version=self.version + 1, updated_at=time)
        match event:
            case OrderPlaced():
                return replace(
                    order,
                    id=event.order_id,
                    user_id=event.user_id,
                    items=tuple(event.items),
                    total_amount=event.total_amount,
                    currency=event.currency,
                    status="pending",
                    created_at=time,
                )
            case OrderConfirmed():
                return replace(order, status="confirmed", payment_id=event.payment_id)
            case OrderRejected():
                return replace(order, status="rejected", reason=event.reason)
            case OrderCancelled():
                return replace(order, status="cancelled", reason=event.reason)
            case OrderShipped():
                return replace(order, status="shipped")
            case OrderDelivered():
                return replace(order, status="delivered")
            case CancelRequested():
                return replace(order, cancel_requested=True)
            case RefundNoted():
                return replace(order, refunded=True)
            case RestockNoted():
                return replace(order, restocked=True)
        raise ValueError(f"an order has no event {event.type}")


NEW = Order()


def priced(
    quantities: dict[str, int], prices: list[PricedItem], with_variants: Collection[str] = ()
) -> tuple[list[OrderItem], Money]:
    """Return the items of an order and their total, at the prices of the catalog.

    Of the products `with_variants` only a variant can be ordered. Raises InvalidInput.
    """
    found = {item.product_id: item for item in prices}
    if missing := [product for product in quantities if product not in found]:
        raise InvalidInput(
            *(
                ("items", f"the product {product} has variants: order one of them")
                if product in with_variants
                else ("items", f"there is no product {product}")
                for product in missing
            )
        )
    currencies = sorted({item.currency for item in prices})
    if len(currencies) > 1:
        raise InvalidInput(("items", f"products in {' and '.join(currencies)} cannot be in one order"))
    exact = sum(found[product].price * quantity for product, quantity in quantities.items())
    if exact > Money.MAX_MINOR:
        total, largest = (decimal_string(minor, currencies[0]) for minor in (exact, Money.MAX_MINOR))
        raise InvalidInput(("items", f"the total is {total} {currencies[0]}, and may be at most {largest}"))
    items = []
    for product, quantity in quantities.items():
        price = Money(found[product].price, currencies[0])
        items.append(OrderItem(product_id=product, name=found[product].name, quantity=quantity, price=str(price)))
    return items, Money(exact, currencies[0])


def require_expected(
    items: list[OrderItem], total: Money, expected_total: Decimal | None, expected_currency: str
) -> None:
    """Check that an order costs what the buyer was shown, as far as the buyer says so. Raises PriceChanged."""
    if expected_total not in (None, Decimal(str(total))) or expected_currency not in ("", total.currency):
        raise PriceChanged(items, total)


def is_card_number(text: str) -> bool:
    """Return whether a text is the number of a payment card: 12 to 19 digits that pass the check of Luhn.

    Spaces, dashes and other separators do not count (ISO/IEC 7812-1, annex B).
    """
    digits = [int(char) for char in text if char.isdecimal()]
    if not 12 <= len(digits) <= 19 or any(char.isalpha() for char in text):
        return False
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def place(order: Order, placed: OrderPlaced) -> OrderPlaced | None:
    """Place an order, unless it is placed."""
    return None if order.status else placed


def confirm(order: Order, payment: str) -> OrderConfirmed | None:
    """Confirm a pending order. Raises CancelledByBuyer if the buyer canceled it before.

    A repeated confirmation with the same payment changes nothing, whatever happened to the order since.
    """
    if order.payment_id == payment:
        return None
    if order.cancel_requested or order.status != "pending":
        raise CancelledByBuyer
    return OrderConfirmed(order_id=order.id, user_id=order.user_id, payment_id=payment)


def reject(order: Order, reason: str) -> OrderRejected | OrderCancelled | None:
    """End a pending order: as canceled if the buyer asked for that, else as rejected."""
    if order.status != "pending":
        return None
    if order.cancel_requested:
        return OrderCancelled(order_id=order.id, user_id=order.user_id, reason="cancelled")
    return OrderRejected(order_id=order.id, user_id=order.user_id, reason=reason)


def cancel(order: Order) -> OrderCancelled | CancelRequested | None:
    """Cancel a confirmed order, or request it of a pending one. Raises NotFound, WrongStatus."""
    _require_placed(order)
    if order.status == "pending":
        return None if order.cancel_requested else CancelRequested(order_id=order.id)
    if order.status == "confirmed":
        return OrderCancelled(order_id=order.id, user_id=order.user_id, reason="cancelled")
    if order.status == "cancelled":
        return None
    raise WrongStatus(order.status, "canceled")


def ship(order: Order) -> OrderShipped:
    """Ship a confirmed order. Raises NotFound, WrongStatus."""
    _require_placed(order)
    if order.status != "confirmed":
        raise WrongStatus(order.status, "shipped")
    return OrderShipped(order_id=order.id, user_id=order.user_id)


def deliver(order: Order) -> OrderDelivered:
    """Deliver a shipped order. Raises NotFound, WrongStatus."""
    _require_placed(order)
    if order.status != "shipped":
        raise WrongStatus(order.status, "delivered")
    return OrderDelivered(order_id=order.id, user_id=order.user_id)


def note_refund(order: Order) -> RefundNoted | None:
    """Record a refund once."""
    return RefundNoted(order_id=order.id) if order.status and not order.refunded else None


def note_restock(order: Order) -> RestockNoted | None:
    """Record the return of the stock once."""
    return RestockNoted(order_id=order.id) if order.status and not order.restocked else None


def _require_placed(order: Order) -> None:
    if not order.status:
        raise NotFound("order")
