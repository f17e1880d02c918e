"""The events and commands of `payments`. Amounts are minor units in commands, decimals in events."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from chassis.errors import DomainError, ErrorCategory
from chassis.messages import Command, Event
from chassis.personal_data import ExportQuery
from chassis.sagas.waiting import UserAction
from chassis.schema import Id, Schema, growing

Minor = Annotated[int, Field(ge=0)]


class PaymentCompleted(Event, type="payment.completed", key="order_id"):
    payment_id: Id
    order_id: Id
    amount: str
    currency: str


class PaymentFailed(Event, type="payment.failed", key="order_id"):
    payment_id: Id
    order_id: Id
    amount: str
    currency: str
    reason: str


class PaymentRefunded(Event, type="payment.refunded", key="order_id"):
    payment_id: Id
    order_id: Id
    amount: str
    currency: str


class PaymentDeclined(DomainError, category=ErrorCategory.PAYMENT_REQUIRED):
    """The payment provider declined the charge."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The payment was declined: {reason}.", reason=reason)


class TooManyDeclines(DomainError, category=ErrorCategory.RATE_LIMITED):
    """Payments of the user were declined so often that the next one has to wait."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"Several payments were declined. Try again in {wait_s} s.", retryAfter=wait_s)


class PaymentCancelled(DomainError):
    """The payment of the order was canceled before."""

    def __init__(self) -> None:
        super().__init__("The payment of this order was canceled.")


class Charge(Command, callers=("orders",), timeout_s=3.5, errors=(PaymentDeclined, PaymentCancelled, TooManyDeclines)):
    """Take the payment of an order, once however often it is repeated."""

    order_id: Id
    user_id: Id
    total: Minor
    currency: str
    payment_token: str
    may_wait: bool = False
    """Whether the caller can wait for the buyer; else a payment that needs the buyer is declined."""

    class Reply(Schema):
        """With an `action`, nothing is taken yet: the buyer must confirm the payment; repeat the command then."""

        payment_id: Id
        action: UserAction | None = None


class CancelPayment(Command, callers=("orders",), timeout_s=3.5):
    """Undo a charge: refund it if it was captured, and reject it if it arrives later."""

    order_id: Id
    user_id: Id
    total: Minor
    currency: str


Status = Literal["pending", "completed", "failed", "unknown", "refunded"]


class PaymentState(Schema):
    order_id: Id
    amount: int
    currency: str
    status: Annotated[str, growing(*get_args(Status))]
    refunded: int


class GetPayments(Command, callers=("orders",), read_only=True, timeout_s=3.5):
    """Get the payments of these orders; the reply leaves out orders without one."""

    order_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]

    class Reply(Schema):
        items: list[PaymentState]


class ListPayments(Command, callers=("orders",), read_only=True, timeout_s=3.5):
    """List the next orders that have a payment, sorted by id; an empty page is the last."""

    after: str

    class Reply(Schema):
        order_ids: list[Id]


class ExportUser(ExportQuery, callers=("users",), read_only=True, timeout_s=2.0):
    """Return what `payments` keeps about a user."""
