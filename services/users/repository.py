"""How accounts are loaded and stored."""

from chassis.errors import NotFound
from chassis.events import outbox
from chassis.store import Collection, Doc, Index
from services.users import domain

accounts = Collection(
    "accounts",
    Index("emailKey", unique=True),
    Index("erased"),
    Index("erasurePending", partial={"erasurePending": True}),
    outbox.PENDING_INDEX,
)


def get(id: str) -> Doc:
    """Return an account that is not erased. Raises NotFound."""
    account = accounts.get(id)
    if account is None or account["erased"]:
        raise NotFound("user")
    return account


def find_by_email(email: str) -> Doc | None:
    """Return the account with an e-mail address, or None."""
    found = accounts.find({"emailKey": domain.email_key(email)}, limit=1)
    return found[0] if found else None
