"""Accounts in a real embedded store, with hashes of passwords that cost nothing; and the mails that they get."""

import pytest

from chassis import calls
from chassis.store.sqlite.store import SqliteStore
from services.notifications import application as notifications
from services.notifications import mail
from services.notifications import repository as notified
from services.users import account_mails, administration, keys, passwords, repository, sessions
from tests.unit.conftest import FaultyStore
from tests.unit.notifications.mailing import SENT, FakeTransport
from tests.unit.notifications.mailing import use_settings as use_mail_settings
from tests.unit.users.mailed_accounts import run_jobs, use_settings


@pytest.fixture
def stored_accounts(store, fake_clock, monkeypatch):
    for collection in (
        administration.first_administrator,
        repository.accounts,
        account_mails.account_mails,
        sessions.refresh_token_families,
        keys.signing_keys,
    ):
        collection.attach(store).ensure_indexes()
    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "matches", lambda password, stored: stored == f"hash of {password}")


@pytest.fixture
def notifications_store(tmp_path, fake_clock):
    engine = SqliteStore(tmp_path / "notifications.db")
    store = FaultyStore(engine)
    for collection in (notified.recipients, notified.notifications, notified.account_mails, notified.placed_orders):
        collection.attach(store).ensure_indexes()
    yield store
    engine.close()


@pytest.fixture
def transport():
    return FakeTransport()


@pytest.fixture
def inbox(stored_accounts, notifications_store, transport, monkeypatch):
    """The (address, subject, token) of each mail that was delivered; mail is on."""
    delivered = []

    def deliver(mail):
        delivered.append((mail.address, mail.subject, mail.text.partition("#")[2].partition("\n")[0]))
        return SENT

    transport.reply = deliver
    monkeypatch.setattr(mail, "transport", transport)
    use_mail_settings(monkeypatch, smtp_url="smtp://mail.example")
    monkeypatch.setattr(calls, "send", lambda command, key: notifications.send_account_mail(command))
    use_settings(monkeypatch)
    return delivered


@pytest.fixture
def mailed_token(fake_clock, inbox):
    """Return a function that delivers what is due and returns the token of the last mail with one."""

    def _mailed_token():
        run_jobs(fake_clock)
        return [token for _, _, token in inbox if token][-1]

    return _mailed_token
