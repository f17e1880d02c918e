"""`/api/payments`."""

from typing import Annotated, Any, get_args

from chassis.errors import NotFound
from chassis.money import decimal_string
from chassis.schema import DecimalString, Id, Schema, Timestamp, growing
from chassis.store import Doc
from chassis.web.api import ANYONE, SIGNED_IN, Api, Response, require_self
from chassis.web.auth import Caller
from chassis.web.paging import Page, PageQuery, find_page
from services.payments import repository, webhooks
from services.payments.messages import Status

api = Api()


@api.post(
    "/api/payments/webhooks/stripe",
    auth=ANYONE,
    responses={204: None},
    errors=(NotFound, webhooks.InvalidSignature, webhooks.OtherAccount),
    idempotent=False,
    media_types=("application/json",),
    secret_header="Stripe-Signature",  # noqa: S106 - the name of a header
)
def receive_webhook(content: bytes, secret: str) -> Response:
    """Receive an event of Stripe, which signs it. Without `STRIPE_WEBHOOK_SECRET` there is no such route."""
    webhooks.receive(content, secret)
    return Response(status=204)


class PaymentQuery(PageQuery):
    order_id: Id | None = None


class Payment(Schema):
    id: Id
    order_id: Id
    amount: DecimalString
    currency: str
    status: Annotated[Status, growing(*get_args(Status))]
    refunded_amount: DecimalString
    provider: str
    created_at: Timestamp


Payments = Page[Payment]


@api.get("/api/payments", auth=SIGNED_IN, responses={200: Payments})
def list_payments(query: PaymentQuery, caller: Caller) -> Payments:
    """List your own payments; an administrator lists those of all users."""
    where: dict[str, Any] = {} if caller.is_admin else {"userId": caller.id}
    if query.order_id is not None:
        where["orderId"] = query.order_id
    docs, cursor = find_page(repository.payments, where, query)
    return Payments(items=[_view(doc) for doc in docs], next_cursor=cursor)


@api.get("/api/payments/{id}", auth=SIGNED_IN, responses={200: Payment})
def get_payment(id: str, caller: Caller) -> Payment:
    """Get one payment."""
    payment = repository.get(id)
    require_self(caller, payment["userId"], "payment")
    return _view(payment)


def _view(doc: Doc) -> Payment:
    return Payment(
        id=doc["_id"],
        order_id=doc["orderId"],
        amount=decimal_string(doc["amount"], doc["currency"]),
        currency=doc["currency"],
        status=doc["status"],
        refunded_amount=decimal_string(doc["refundedAmount"], doc["currency"]),
        provider=doc["provider"],
        created_at=doc["createdAt"],
    )
