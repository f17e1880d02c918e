"""How accounts are loaded and stored."""

from chassis.errors import NotFound
from chassis.events import outbox
from chassis.store import Collection, Doc, Index
from services.users import addresses, domain

accounts = Collection(
    "accounts",
    Index("emailKey", unique=True),
    Index("erased"),
    Index("erasurePending", partial={"erasurePending": True}),
    Index("mailsDue", partial={"mailsDue": True}),
    Index("role", partial={"role": "admin"}),
    outbox.PENDING_INDEX,
)


def find(id: str) -> Doc | None:
    """Return an account, or None if there is none or it is erased."""
    account = accounts.get(id)
    return None if account is None or account["erased"] else account


def get(id: str) -> Doc:
    """Return an account that is not erased. Raises NotFound."""
    account = find(id)
    if account is None:
        raise NotFound("user")
    return account


def find_by_email(email: str) -> Doc | None:
    """Return the account with an e-mail address, or None."""
    key = addresses.email_key(email)
    found = accounts.find({"emailKey": {"$in": addresses.possible_keys(email)}})
    return next((doc for doc in found if not doc["erased"] and addresses.email_key(doc["email"]) == key), None)


def renew_keys(email: str) -> None:
    """Replace the keys of release 0.2.0 that are stored for this address or conflict with it.

    Call it before an account gets the address: afterwards, `emailKey` is unique for all spellings.
    """
    for account in accounts.find({"emailKey": {"$in": addresses.possible_keys(email)}}):
        key = account["emailKey"] if account["erased"] else addresses.email_key(account["email"])
        if key != account["emailKey"]:
            accounts.update(account["_id"], {"$set": {"emailKey": key}}, when={"emailKey": account["emailKey"]})


def require_other_administrator(account: Doc) -> None:
    """Check that an account is not the last administrator who can sign in. Raises LastAdministrator.

    Two administrators who demote each other at the same time can leave none; `mercato user promote` needs none.
    """
    if account["role"] != "admin" or account.get("locked"):
        return
    others = accounts.iterate({"role": "admin"})
    if not any(not each["erased"] and not each.get("locked") for each in others if each["_id"] != account["_id"]):
        raise domain.LastAdministrator
