"""The export: what the platform keeps about a person, from every service that declares personal data."""

from collections.abc import Callable
from typing import Any

from chassis import calls
from chassis.personal_data import ExportQuery, PersonalData, export_page
from services.carts.messages import ExportUser as ExportFromCarts
from services.notifications.messages import ExportUser as ExportFromNotifications
from services.orders.messages import ExportUser as ExportFromOrders
from services.payments.messages import ExportUser as ExportFromPayments
from services.users import repository, sessions

QUERIES: tuple[type[ExportQuery], ...] = (
    ExportFromOrders,
    ExportFromPayments,
    ExportFromNotifications,
    ExportFromCarts,
)
OWN = (
    PersonalData(
        repository.accounts,
        "_id",
        *"email name age language marketing role verified locked actions createdAt updatedAt".split(),
    ),
    PersonalData(sessions.refresh_token_families, "userId", *"createdAt rotatedAt ended endReason expiresAt".split()),
)

Documents = dict[str, list[dict[str, Any]]]
"""Documents by the name of their collection."""


def export(user: str) -> dict[str, Documents]:
    """Return the documents about a user by service and collection: of all services, or of none.

    Raises:
        NotFound: there is no such account, or it is erased.
        TransientError: a service does not answer.
    """
    repository.get(user)
    found = {"users": _collect(ExportQuery, user, lambda query: export_page(OWN, query))}
    return found | {query.service: _collect(query, user, calls.send) for query in QUERIES}


def _collect(query: type[ExportQuery], user: str, ask: Callable[[ExportQuery], ExportQuery.Reply]) -> Documents:
    documents: Documents = {}
    reply = ask(query(user_id=user))
    while reply.documents:
        for each in reply.documents:
            documents.setdefault(each.collection, []).append(each.document)
        reply = ask(query(user_id=user, after=reply.after))
    return documents
