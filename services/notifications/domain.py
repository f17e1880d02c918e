"""The texts of notifications and mails. They name the order and never the person: they hold no personal data."""

from typing import NamedTuple

from chassis.messages import Event
from services.notifications.messages import AccountMail
from services.orders.messages import OrderCancelled, OrderConfirmed, OrderDelivered, OrderRejected, OrderShipped


class Text(NamedTuple):
    """What a notification says."""

    kind: str
    subject: str
    body: str


WELCOME = Text("welcome", "Welcome to the shop", "Your account is ready. We are glad to have you.")
SESSION_ENDED = Text(
    "session_ended",
    "We ended one of your sessions",
    "A sign-in of your account was used from two places, so we ended it. If that was not you, set a new password.",
)

_ORDER_TEXTS: dict[type[Event], Text] = {
    OrderConfirmed: Text(
        "order_confirmed", "Your order is confirmed", "We have received your payment for order {order}."
    ),
    OrderRejected: Text(
        "order_rejected", "Your order could not be placed", "Order {order} could not be placed: {reason}."
    ),
    OrderCancelled: Text(
        "order_cancelled", "Your order is canceled", "Order {order} is canceled. Any payment will be refunded."
    ),
    OrderShipped: Text("order_shipped", "Your order is on its way", "Order {order} has shipped."),
    OrderDelivered: Text("order_delivered", "Your order has arrived", "Order {order} was delivered. Enjoy it!"),
}
ORDER_EVENTS = tuple(_ORDER_TEXTS)


def order_text(event: Event) -> Text:
    """Return the text of the notification about an event of an order."""
    text = _ORDER_TEXTS[type(event)]
    reason = str(getattr(event, "reason", "")).replace("_", " ")
    return text._replace(body=text.body.format(order=event.subject, reason=reason))


_IGNORE = "If you did not ask for it, ignore this mail: nothing changes."
_NOT_YOU = "If that was not you, set a new password at once."
_ACCOUNT_TEXTS = {
    AccountMail.VERIFICATION: (
        "Confirm your e-mail address",
        "Open this link within 30 minutes to confirm your e-mail address:\n\n{link}\n\n" + _IGNORE,
    ),
    AccountMail.ADDRESS_CHANGE: (
        "Confirm your new e-mail address",
        "Open this link within 30 minutes to use this e-mail address for your account:\n\n{link}\n\n" + _IGNORE,
    ),
    AccountMail.RESET: (
        "Set a new password",
        "Open this link within 30 minutes to set a new password:\n\n{link}\n\n" + _IGNORE,
    ),
    AccountMail.ADDRESS_CHANGE_REQUESTED: (
        "Your e-mail address is about to change",
        "A new e-mail address was entered for your account. It takes effect once it is confirmed. " + _NOT_YOU,
    ),
    AccountMail.ADDRESS_CHANGED: (
        "Your e-mail address has changed",
        "Your account has a new e-mail address. If that was not you, contact the shop at once.",
    ),
}


def account_text(kind: AccountMail, link: str) -> tuple[str, str]:
    """Return (subject, body) of a mail about an account."""
    subject, body = _ACCOUNT_TEXTS[kind]
    return subject, body.format(link=link)
