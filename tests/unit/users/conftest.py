"""Accounts in a real embedded store, with hashes of passwords that cost nothing."""

import pytest

from services.users import account_mails, administration, keys, passwords, repository, sessions


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
