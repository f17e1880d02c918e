"""Delays of sign-in: they stop guessing from many addresses, and never the owner at a known one."""

import pytest

from chassis import failure_limits
from chassis.failure_limits import TooManyFailures
from chassis.store import StoreUnavailable
from chassis.web import limits
from chassis.web.auth import Caller
from services.users import (
    account_mails,
    application,
    auth_api,
    domain,
    keys,
    passwords,
    recovery,
    recovery_api,
    repository,
    sessions,
    sign_in_delays,
)
from services.users.domain import WrongCredentials

EMAIL, RIGHT, WRONG = "ada@shop.example", "correct horse battery", "a wrong guess"
HOME = "192.0.2.1"
DAY_S = 24 * 3600


@pytest.fixture(autouse=True)
def _stored(store, fake_clock, monkeypatch):
    for collection in (
        *(repository.accounts, sessions.refresh_token_families, keys.signing_keys, failure_limits.failures),
        *(account_mails.account_mails, limits.counters),
    ):
        collection.attach(store).ensure_indexes()
    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "matches", lambda password, stored: stored == f"hash of {password}")
    application.create("u1", EMAIL, "Ada Byron", RIGHT)


def sign_in(network, password=RIGHT, email=EMAIL):
    return sign_in_delays.sign_in(email, network, lambda: application.sign_in(email, password, "", lambda _: None))


def guess_from_everywhere(times=20, email=EMAIL):
    for number in range(times):
        with pytest.raises(WrongCredentials):
            sign_in(f"198.51.100.{number}", WRONG, email)


def networks():
    return repository.accounts.get("u1").get("signInNetworks", {})


@pytest.mark.parametrize("email", [EMAIL, "nobody@shop.example"])
def test_unknown_addresses_wait_after_twenty_failures(email):
    """Whether there is an account or not."""
    guess_from_everywhere(20, email)
    with pytest.raises(TooManyFailures) as refused:
        sign_in("203.0.113.1", RIGHT, email.upper())
    assert 0 < refused.value.extra["retryAfter"] <= 900


def test_nineteen_failures_delay_nobody():
    guess_from_everywhere(19)
    assert sign_in("203.0.113.1")


def test_the_owner_is_not_delayed_at_a_known_address(fake_clock):
    session = sign_in(HOME)[1]
    guess_from_everywhere()
    assert sign_in(HOME)
    assert application.renew(session.token)
    with pytest.raises(WrongCredentials):
        sign_in(HOME, WRONG)
    with pytest.raises(TooManyFailures):
        sign_in("203.0.113.1")


def test_the_wait_grows_to_fifteen_minutes_and_ends(fake_clock):
    guess_from_everywhere()
    waits = []
    for _ in range(9):
        with pytest.raises(TooManyFailures) as refused:
            sign_in("203.0.113.1")
        waits.append(refused.value.extra["retryAfter"])
        fake_clock.pass_time(waits[-1])
        with pytest.raises(WrongCredentials):
            sign_in("203.0.113.1", WRONG)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (15, 900)
    fake_clock.pass_time(900)
    assert sign_in("203.0.113.1")


def test_an_address_is_known_for_thirty_days(fake_clock):
    sign_in(HOME)
    fake_clock.pass_time(29 * DAY_S)
    guess_from_everywhere()
    assert sign_in(HOME), "which renews it"
    fake_clock.pass_time(29 * DAY_S)
    guess_from_everywhere()
    assert sign_in(HOME)
    fake_clock.pass_time(31 * DAY_S)
    guess_from_everywhere()
    with pytest.raises(TooManyFailures):
        sign_in(HOME)


def test_ten_addresses_are_kept_as_hashes_and_erased_with_the_account(fake_clock):
    for number in range(14):
        sign_in(f"192.0.2.{number}")
        fake_clock.pass_time(1)
    assert len(networks()) == 10
    assert "192.0.2" not in str(repository.accounts.get("u1"))
    guess_from_everywhere()
    with pytest.raises(TooManyFailures):
        sign_in("192.0.2.3")
    assert sign_in("192.0.2.4")
    application.erase("u1", "u1", RIGHT, None, lambda _: None)
    assert "signInNetworks" not in repository.accounts.get("u1")
    assert "signInNetworks" in domain.PERSONAL_FIELDS


def refresh(session, network):
    return auth_api.refresh(auth_api.RefreshToken(refresh_token=session.token), Caller("", "", network))


def set_password(network):
    token = recovery.reset_link(repository.accounts.get("u1")).partition("#")[2]
    body = recovery_api.NewPassword(token=token, password="another correct horse")
    recovery_api.confirm_reset(body, Caller("", "", network))


def test_an_address_that_refreshes_tokens_is_known(fake_clock):
    session = sign_in(HOME)[1]
    guess_from_everywhere()
    refresh(session, "203.0.113.1")
    assert sign_in("203.0.113.1")
    with pytest.raises(TooManyFailures):
        sign_in("203.0.113.2")


def test_a_refused_refresh_makes_no_address_known():
    with pytest.raises(sessions.SignedOut):
        refresh(sessions.Session("f", "u1", 0, "f.c2VjcmV0"), HOME)
    assert networks() == {}


def test_a_reset_lets_the_owner_in_however_often_others_guess():
    guess_from_everywhere()
    set_password("203.0.113.1")
    assert sign_in("203.0.113.2", "another correct horse"), "the wait ends"
    guess_from_everywhere()
    assert sign_in("203.0.113.1", "another correct horse")
    with pytest.raises(TooManyFailures):
        sign_in("203.0.113.3", "another correct horse")


def test_a_store_that_fails_afterwards_undoes_no_refresh_and_no_reset(monkeypatch):
    def fail(*_):
        raise StoreUnavailable("down")

    session = sign_in(HOME)[1]
    monkeypatch.setattr(sign_in_delays, "_remember", fail)
    assert refresh(session, "203.0.113.1").refresh_token
    set_password("203.0.113.1")


def test_a_failed_second_factor_makes_no_address_known():
    def refuse():
        raise domain.AccountLocked

    with pytest.raises(domain.AccountLocked):
        sign_in_delays.sign_in(EMAIL, HOME, refuse)
    assert networks() == {}


def test_hashes_of_two_accounts_at_one_address_differ():
    application.create("u2", "bob@shop.example", "Bob", RIGHT)
    sign_in(HOME)
    sign_in(HOME, email="bob@shop.example")
    assert not networks().keys() & repository.accounts.get("u2")["signInNetworks"].keys()
