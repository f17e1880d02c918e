"""`/api/notifications`."""

from typing import Annotated, Literal, get_args

from pydantic import StringConstraints

from chassis.schema import Id, QueryParams, Schema, Timestamp, growing
from chassis.store import Doc
from chassis.web.api import ANYONE, SIGNED_IN, Api, Response
from chassis.web.auth import Caller
from chassis.web.paging import Page, PageQuery, find_page
from services.notifications import application, repository

api = Api()


Kind = Literal[
    "welcome",
    "order_confirmed",
    "order_rejected",
    "order_cancelled",
    "order_shipped",
    "order_delivered",
    "session_ended",
    "cart_abandoned",
]
Channel = Literal["email", "record"]
Status = Literal["pending", "sent", "failed"]


class Notification(Schema):
    id: Id
    kind: Annotated[Kind, growing(*get_args(Kind))]
    subject: str
    body: str
    channel: Annotated[Channel, growing(*get_args(Channel))]
    status: Annotated[Status, growing(*get_args(Status))]
    created_at: Timestamp


Notifications = Page[Notification]


@api.get("/api/notifications", auth=SIGNED_IN, responses={200: Notifications})
def list_notifications(query: PageQuery, caller: Caller) -> Notifications:
    """List the notifications of the signed-in user, newest first."""
    docs, cursor = find_page(repository.notifications, {"userId": caller.id}, query, sort="-createdAt")
    return Notifications(items=[_view(doc) for doc in docs], next_cursor=cursor)


class UnsubscribeQuery(QueryParams):
    token: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]


@api.post("/api/notifications/unsubscribe", auth=ANYONE, responses={200: None}, idempotent=False)
def unsubscribe(query: UnsubscribeQuery) -> Response:
    """End the mails that advertise, with the token of such a mail, as mail programs do with one click (RFC 8058).

    They send a form, which says nothing more. It may be repeated.
    """
    application.unsubscribe(query.token)
    return Response()


def _view(doc: Doc) -> Notification:
    return Notification(
        id=doc["_id"],
        kind=doc["kind"],
        subject=doc["subject"],
        body=doc["body"],
        channel=doc["channel"],
        status=doc["status"],
        created_at=doc["createdAt"],
    )
