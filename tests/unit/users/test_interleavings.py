"""Two operations on one account at once: each happens, or is refused, and neither undoes the other."""

import pytest

from chassis.access import AccessQuery
from chassis.errors import DomainError
from services.users import (
    access,
    account_mails,
    administration,
    application,
    credentials,
    keys,
    passwords,
    repository,
    sessions,
)
from services.users.domain import PERSONAL_FIELDS

ID, EMAIL, PASSWORD, NEW = "u1", "ada@shop.example", "correct horse battery", "another correct horse"
COLLECTIONS = (repository.accounts, sessions.refresh_token_families, account_mails.account_mails, keys.signing_keys)


class Interleaved:
    """A store that runs another operation before its operation number `at`, once."""

    def __init__(self, store, at, other):
        self._store, self._left, self._other = store, at, other

    @property
    def is_due(self):
        return self._left > 0

    def __getattr__(self, name):
        operation = getattr(self._store, name)
        if name not in ("insert", "get", "find", "update", "delete"):
            return operation

        def counted(*arguments):
            self._left -= 1
            if self._left == 0:
                self._other()
            return operation(*arguments)

        return counted


@pytest.fixture(autouse=True)
def _stored(store, fake_clock, monkeypatch):
    for collection in COLLECTIONS:
        collection.attach(store).ensure_indexes()
    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "matches", lambda password, stored: stored == f"hash of {password}")


def sign_in():
    return application.sign_in(EMAIL, PASSWORD, "", lambda account: None)[1]


def change(**fields):
    return lambda: application.change(ID, ID, fields, PASSWORD, None, f"change {sorted(fields)}")


CHANGES = {
    "new password": change(password=NEW),
    "new address": change(email="new@shop.example"),
    "lock": lambda: administration.lock(ID, "operator"),
    "promotion": lambda: administration.set_role(ID, "admin", "operator"),
    "reset": lambda: administration.reset(ID, "operator"),
    "end of sessions": lambda: administration.end_sessions(ID, "operator"),
    "erasure": lambda: application.erase(ID, ID, PASSWORD, None, lambda user: None),
}
OTHERS = CHANGES | {
    "new name": change(name="Ada Lovelace"),
    "sign-in": sign_in,
    "mails": account_mails.send_account_mails,
    "ended sessions": access.finish_endings,
}
SHOWN = {
    "new password": lambda account: account["password"] == f"hash of {NEW}",
    "new address": lambda account: account["email"] == "new@shop.example",
    "lock": lambda account: account["locked"],
    "promotion": lambda account: account["role"] == "admin",
    "erasure": lambda account: account["erased"] and not account.keys() & set(PERSONAL_FIELDS),
    "new name": lambda account: account["name"] == "Ada Lovelace",
}
"""What an operation leaves in the account, unless a later one replaces it."""
REPLACED_BY = {"new password": {"reset"}}


PAIRS = [(first, second) for first in CHANGES for second in OTHERS if first != second]


def begin_again(store):
    for collection in COLLECTIONS:
        collection.attach(store)
        for doc in collection.find({}):
            collection.delete(doc["_id"])
    application.create(ID, EMAIL, "Ada Byron", PASSWORD)
    ended, session = sign_in(), sign_in()
    sessions.end(ended.id)
    return session


def run(name, operation, done):
    """Run an operation, and note its name unless it is refused."""
    try:
        operation()
    except DomainError:
        return
    done.append(name)


def interleave(store, first, second, at):
    """Run `second` before operation number `at` of `first`; return a former session, and which were not refused.

    Returns None if `first` has fewer operations.
    """
    session, done = begin_again(store), []
    between = Interleaved(store, at, lambda: run(second, OTHERS[second], done))
    for collection in COLLECTIONS:
        collection.attach(between)
    run(first, CHANGES[first], done)
    return None if between.is_due else (session, set(done))


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_no_operation_undoes_a_concurrent_one(store, monkeypatch, first, second):
    monkeypatch.setattr(account_mails.calls, "send", lambda command, key: None)
    at = 1
    while outcome := interleave(store, first, second, at):
        session, done = outcome
        account = repository.accounts.get(ID)
        shown = {"erasure"} if "erasure" in done else {name for name in done if not REPLACED_BY.get(name, set()) & done}
        assert all(SHOWN[name](account) for name in shown & SHOWN.keys()), (done, at)
        ended = len(CHANGES.keys() & done)
        assert credentials.version_of(account) == ended, (done, at)
        query = AccessQuery(user_id=ID, session_id=session.id, credentials_version=session.credentials_version)
        assert access.get_access(query).role is None or not ended, (done, at)
        at += 1
    assert at > 2
