"""A new password by a mailed link, which works once, for thirty minutes."""

import pytest

from chassis.errors import InvalidInput
from services.notifications import repository as notified
from services.users import account_mails, application, credentials, recovery, repository, sessions
from tests.unit.users.mailed_accounts import NEW, OLD, can_sign_in, change, create, create_verified, run_jobs, stored

pytestmark = pytest.mark.usefixtures("inbox")


def test_a_reset_sets_the_password_and_ends_the_sessions(mailed_token, inbox):
    create_verified()
    session = application.sign_in("u1@shop.example", OLD, "", lambda: None)[1]
    recovery.request_reset("U1@Shop.example")
    recovery.confirm_reset(mailed_token(), NEW)
    assert [address for address, _, _ in inbox] == ["u1@shop.example"]
    assert (can_sign_in("u1@shop.example", OLD), can_sign_in("u1@shop.example", NEW)) == (False, True)
    with pytest.raises(sessions.SignedOut):
        application.renew(session.token)


def test_a_token_works_once(mailed_token):
    create_verified()
    recovery.request_reset("u1@shop.example")
    token = mailed_token()
    recovery.confirm_reset(token, NEW)
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_reset(token, "a third good secret")
    assert can_sign_in("u1@shop.example", NEW)


def test_a_token_expires_after_thirty_minutes(mailed_token, fake_clock):
    create_verified()
    recovery.request_reset("u1@shop.example")
    token = mailed_token()
    fake_clock.pass_time(30 * 60)
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_reset(token, NEW)
    account_mails.delete_expired()
    notified.delete_expired_account_mails()
    assert "tokenHash" not in stored()
    assert can_sign_in("u1@shop.example", OLD)


@pytest.mark.parametrize("form", ["", ".", "x", "{id}.", "{id}.AAAA", "{id}", ".{secret}", "{id}.{secret}="])
def test_a_forged_token_is_refused(mailed_token, form):
    create_verified()
    recovery.request_reset("u1@shop.example")
    id, _, secret = mailed_token().partition(".")
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_reset(form.format(id=id, secret=secret), NEW)


def test_a_token_does_only_what_it_was_made_for(mailed_token):
    create()
    verification = mailed_token()
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_reset(verification, NEW)
    recovery.request_reset("u1@shop.example")
    reset = mailed_token()
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_address(reset)
    recovery.confirm_address(verification)
    recovery.confirm_reset(reset, NEW)


def test_a_refused_password_does_not_spend_the_token(mailed_token):
    create_verified()
    recovery.request_reset("u1@shop.example")
    token = mailed_token()
    for refused in ("password1", "u1@shop.example"):
        with pytest.raises(InvalidInput):
            recovery.confirm_reset(token, refused)
    recovery.confirm_reset(token, NEW)


@pytest.mark.parametrize("event", ["password", "lock", "erase", "other reset"])
def test_a_change_of_credentials_ends_every_token(mailed_token, event):
    create_verified()
    recovery.request_reset("u1@shop.example")
    token = mailed_token()
    if event == "password":
        change("u1", {"password": "a third good secret"})
    elif event == "lock":
        credentials.change("u1", lambda account: {"locked": True})
    elif event == "erase":
        application.erase("u1", "u1", OLD, None, lambda user: None)
    else:
        recovery.request_reset("u1@shop.example")
        recovery.confirm_reset(mailed_token(), "a third good secret")
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_reset(token, NEW)


def test_an_operator_gets_a_link_without_mail(fake_clock, inbox):
    create_verified()
    link = recovery.reset_link(repository.get("u1"))
    run_jobs(fake_clock)
    assert link.startswith("https://shop.example/shop/reset#")
    assert inbox == []
    recovery.confirm_reset(link.partition("#")[2], NEW)
    assert can_sign_in("u1@shop.example", NEW)


def test_reset_counts_as_a_change_of_the_account_before_it_hashes(mailed_token):
    class TooMany(Exception):
        pass

    def refuse(account_id):
        raise TooMany(account_id)

    create_verified()
    recovery.request_reset("u1@shop.example")
    token = mailed_token()
    with pytest.raises(TooMany, match="u1"):
        recovery.confirm_reset(token, NEW, refuse)
    assert can_sign_in("u1@shop.example", OLD)
    recovery.confirm_reset(token, NEW)
    assert can_sign_in("u1@shop.example", NEW)


def test_a_crash_at_any_write_of_a_reset_sets_the_password_once(store, mailed_token):
    for after in (False, True):
        for at in range(1, 60):
            id = f"u{at}-{after}"
            create_verified(id)
            recovery.request_reset(f"{id}@shop.example")
            token = mailed_token()
            interrupted = store.interrupts(lambda token=token: recovery.confirm_reset(token, NEW), at, after)
            try:
                recovery.confirm_reset(token, NEW)
            except recovery.LinkExpired:
                pass
            assert can_sign_in(f"{id}@shop.example", NEW), (at, after)
            assert credentials.version_of(repository.get(id)) == 1, (at, after)
            with pytest.raises(recovery.LinkExpired):
                recovery.confirm_reset(token, "a third good secret")
            if not interrupted:
                break
