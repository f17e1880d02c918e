"""Whether an access token is still accepted, and how the end of a single session reaches the other services."""

from chassis.access import AccessQuery
from chassis.errors import NotFound
from chassis.events import outbox
from chassis.events.set_aside import SetAside
from chassis.store import Doc, merge_updates
from services.users import credentials, keys, repository, second_factor, sessions
from services.users.messages import SessionsRevoked

_endings = SetAside("finish_endings")


def get_access(query: AccessQuery) -> AccessQuery.Reply:
    """Return the effective role of a user, None if tokens of this session and credentials version are refused.

    A lock needs no check of its own: it raises the version, and nobody signs in to a locked account.
    """
    account = repository.find(query.user_id)
    if (
        account is None
        or query.credentials_version < credentials.version_of(account)
        or (query.session_id and not sessions.is_live(query.session_id))
    ):
        return AccessQuery.Reply(role=None)
    return AccessQuery.Reply(role=second_factor.effective_role(account))


def is_current(session: sessions.Session) -> bool:
    """Return whether the account of a session exists with the credentials that the session began with."""
    account = repository.find(session.user)
    return account is not None and session.credentials_version >= credentials.version_of(account)


def find_live(families: list[Doc], account: Doc) -> list[Doc]:
    """Return those of the account's families whose tokens are accepted."""
    return [doc for doc in families if not doc["ended"] and _is_current(doc, account)]


def end_session(user: str, id: str) -> None:
    """End one session of a user, and revoke its access tokens everywhere. Raises NotFound."""
    doc = sessions.refresh_token_families.get(id)
    if doc is None or doc["userId"] != user:
        raise NotFound("session")
    sessions.end(id)
    finish_ending(id)


def finish_ending(id: str) -> None:
    """Publish that the access tokens of an ended session are revoked, unless that is done; may be repeated."""
    family = sessions.refresh_token_families.get(id)
    while family is not None and family.get("revocationPending"):
        account = repository.find(family["userId"])
        if account is None or not _is_current(family, account):
            break  # an event about the whole account revokes them
        if account.get("lastEndedSession") == id:
            break  # published before a crash
        event = SessionsRevoked(
            user_id=account["_id"],
            credentials_version=credentials.version_of(account),
            session_id=id,
            until=keys.tokens_expire_at(),
            reason="refresh_reuse" if family["endReason"] == sessions.REUSED else None,
        )
        publish, guard = outbox.append_event(account, event)
        update = merge_updates({"$set": {"lastEndedSession": id}}, publish)
        if repository.accounts.update(account["_id"], update, when=guard):
            break
    sessions.refresh_token_families.update(id, {"$set": {"revocationPending": False}})


def finish_endings() -> None:
    """Publish the revocations that a crash interrupted."""
    due = {"revocationPending": True}
    _endings.work_through(sessions.refresh_token_families, due, lambda family: finish_ending(family["_id"]))


def _is_current(family: Doc, account: Doc) -> bool:
    return credentials.version_of(family) >= credentials.version_of(account)
