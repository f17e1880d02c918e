"""Verification of an e-mail address, at sign-up and after a change."""

import pytest

from services.users import account_mails, application, credentials, recovery, repository
from services.users.domain import EmailTaken
from services.users.messages import BuyerUnverified, CheckBuyer, GetBuyer
from tests.unit.users.mailed_accounts import (
    NEW,
    OLD,
    can_sign_in,
    change,
    create,
    create_verified,
    run_jobs,
    use_settings,
)

pytestmark = pytest.mark.usefixtures("inbox")


def test_sign_up_mails_a_link_that_verifies_the_address(mailed_token):
    create()
    assert not account_mails.is_verified(repository.get("u1"))
    token = mailed_token()
    recovery.confirm_address(token)
    assert account_mails.is_verified(repository.get("u1"))
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_address(token)


def test_an_account_of_release_0_2_0_and_any_without_mail_count_as_verified(monkeypatch):
    create()
    assert account_mails.is_verified({"_id": "old"})
    use_settings(monkeypatch, smtp_url="")
    assert account_mails.is_verified(repository.get("u1"))
    assert create("u2")["verified"]


def test_unverified_accounts_order_unless_the_setting_forbids_it(monkeypatch, mailed_token):
    create()
    application.check_buyer(CheckBuyer(user_id="u1"))
    use_settings(monkeypatch, unverified_orders="off")
    with pytest.raises(BuyerUnverified):
        application.check_buyer(CheckBuyer(user_id="u1"))
    recovery.confirm_address(mailed_token())
    application.check_buyer(CheckBuyer(user_id="u1"))


def test_orders_learns_whether_the_address_of_a_buyer_is_confirmed(monkeypatch):
    create()
    create_verified("u2")
    assert [application.get_buyer(GetBuyer(user_id=id)).verified for id in ("u1", "u2", "nobody")] == [
        False,
        True,
        False,
    ]
    use_settings(monkeypatch, smtp_url="")
    assert application.get_buyer(GetBuyer(user_id="u1")).verified, "where no mail is sent, everybody counts as verified"


def test_a_new_address_takes_effect_once_confirmed_and_the_former_is_told(mailed_token, fake_clock, inbox):
    create_verified()
    assert change("u1", {"email": "new@shop.example", "name": "Ada King"})["email"] == "u1@shop.example"
    token = mailed_token()
    assert [address for address, _, token in inbox if token] == ["new@shop.example"]
    assert [address for address, _, token in inbox if not token] == ["u1@shop.example"]
    assert can_sign_in("u1@shop.example", OLD)
    assert not can_sign_in("new@shop.example", OLD)
    recovery.confirm_address(token)
    assert (can_sign_in("u1@shop.example", OLD), can_sign_in("new@shop.example", OLD)) == (False, True)
    run_jobs(fake_clock)
    assert [(address, subject) for address, subject, _ in inbox][2:] == [
        ("u1@shop.example", "Your e-mail address has changed")
    ]
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_address(token)


def test_a_change_of_the_password_ends_a_pending_change_of_the_address(mailed_token):
    create_verified()
    change("u1", {"email": "thief@shop.example"})
    change("u1", {"password": NEW})
    with pytest.raises(recovery.LinkExpired):
        recovery.confirm_address(mailed_token())
    assert can_sign_in("u1@shop.example", NEW)


def test_address_and_password_change_in_one_request(mailed_token):
    create_verified()
    change("u1", {"email": "new@shop.example", "password": NEW})
    recovery.confirm_address(mailed_token())
    assert can_sign_in("new@shop.example", NEW)


def test_an_address_that_was_taken_meanwhile_is_refused(mailed_token):
    create_verified("u1")
    create_verified("u2")
    with pytest.raises(EmailTaken):
        change("u1", {"email": "U2@shop.example"})
    change("u1", {"email": "new@shop.example"})
    token = mailed_token()
    change_now = {"email": "new@shop.example", "emailKey": "new@shop.example"}
    credentials.change("u2", lambda account: change_now)
    with pytest.raises(EmailTaken):
        recovery.confirm_address(token)
    assert can_sign_in("u1@shop.example", OLD)


def test_without_mail_a_new_address_takes_effect_at_once(monkeypatch, fake_clock, inbox):
    use_settings(monkeypatch, smtp_url="")
    create()
    change("u1", {"email": "new@shop.example"})
    assert can_sign_in("new@shop.example", OLD)
    run_jobs(fake_clock)
    assert [(address, token) for address, _, token in inbox] == [("u1@shop.example", "")]


def test_an_unchanged_address_ends_no_session_and_mails_nothing(fake_clock, inbox):
    create_verified()
    session = application.sign_in("u1@shop.example", OLD, "", lambda: None)[1]
    change("u1", {"email": "u1@shop.example", "name": "Ada King"})
    application.renew(session.token)
    run_jobs(fake_clock)
    assert inbox == []
