"""Mails about accounts: who gets one, that none is lost, and that no token stays in a store or a log."""

import pytest

from chassis import calls
from chassis.errors import OutcomeUnknown
from chassis.testing import capture_logs
from services.notifications import application as notifications
from services.notifications import delivery
from services.notifications import repository as notified
from services.notifications.mail import Outcome, Reply
from services.users import account_mails, application, credentials, recovery, repository
from tests.unit.users.mailed_accounts import NEW, OLD, change, create, create_verified, run_jobs, stored

pytestmark = pytest.mark.usefixtures("inbox")


def test_an_unknown_locked_or_verified_account_gets_no_mail(fake_clock, inbox):
    create_verified("u1")
    create_verified("u2")
    credentials.change("u2", lambda account: {"locked": True})
    recovery.request_reset("nobody@shop.example")
    recovery.request_reset("no address")
    recovery.request_reset("u2@shop.example")
    recovery.request_verification("u1@shop.example")
    recovery.request_verification("nobody@shop.example")
    run_jobs(fake_clock)
    assert inbox == []
    assert list(account_mails.account_mails.iterate()) == []


def test_a_request_does_the_same_work_for_known_and_unknown_addresses(store):
    create()
    create_verified("u2")
    done = []
    for email in ("u1@shop.example", "u2@shop.example", "nobody@shop.example"):
        for ask in (recovery.request_reset, recovery.request_verification):
            before = store.operations
            ask(email)
            done.append(store.operations - before)
    assert set(done) == {1}


def test_the_mail_goes_to_the_address_of_the_account_and_not_to_the_one_asked(fake_clock, inbox):
    create_verified()
    recovery.request_reset("ｕ1@shop.example")  # its own mailbox, perhaps of somebody else
    run_jobs(fake_clock)
    assert [address for address, _, _ in inbox] == ["u1@shop.example"]


@pytest.mark.parametrize("failing", ["users", "notifications"])
def test_a_crash_at_any_write_of_the_jobs_loses_no_mail(store, notifications_store, fake_clock, inbox, failing):
    create_verified()
    faulty = store if failing == "users" else notifications_store

    def deliver():
        account_mails.send_account_mails()
        fake_clock.pass_time(1)
        delivery.send_mail()

    for after in (False, True):
        for at in range(1, 60):
            inbox.clear()
            change("u1", {"email": f"new-{at}-{after}@shop.example"})
            fake_clock.pass_time(60)
            interrupted = faulty.interrupts(deliver, at, after)
            for _ in range(2):
                run_jobs(fake_clock)
            tokens = {token for _, _, token in inbox if token}
            assert len(tokens) == 1, (at, after)
            assert {address for address, _, token in inbox if not token} == {"u1@shop.example"}, (at, after)
            assert all(token.partition(".")[2] not in stored() for token in tokens), (at, after)
            if not interrupted:
                break


def test_a_lost_reply_of_notifications_mails_one_link(fake_clock, inbox, monkeypatch, mailed_token):
    create_verified()
    recovery.request_reset("u1@shop.example")

    def lose_the_reply(command, key):
        notifications.send_account_mail(command)
        raise OutcomeUnknown("no response in time")

    send = calls.send
    monkeypatch.setattr(calls, "send", lose_the_reply)
    run_jobs(fake_clock)
    monkeypatch.setattr(calls, "send", send)
    token = mailed_token()
    assert len(inbox) == 1
    recovery.confirm_reset(token, NEW)


def test_what_was_mailed_is_deleted_and_no_log_line_holds_it(fake_clock, inbox, transport, mailed_token):
    create_verified()
    recovery.request_reset("u1@shop.example")
    deliver = transport.reply
    transport.reply = lambda mail: Reply(Outcome.DEFERRED, 451, "try again")
    with capture_logs() as lines:
        run_jobs(fake_clock)
        transport.reply = deliver
        token = mailed_token()
        secret = token.partition(".")[2]
        assert secret not in stored()
        recovery.confirm_reset(token, NEW)
    assert [secret in mail.text for mail in transport.got] == [True, True]
    assert secret not in str(lines)
    assert "u1@shop.example" not in str(lines)
    assert "u1@shop.example" not in str(list(notified.account_mails.iterate()))


def test_a_link_that_could_not_be_mailed_in_time_is_given_up(fake_clock, inbox, monkeypatch):
    create_verified()
    recovery.request_reset("u1@shop.example")

    def refuse(command, key):
        raise OutcomeUnknown("notifications does not answer")

    monkeypatch.setattr(calls, "send", refuse)
    run_jobs(fake_clock)
    fake_clock.pass_time(account_mails.TOKEN_LIFE_S)
    account_mails.delete_expired()
    assert list(account_mails.account_mails.iterate()) == []


def test_erasure_deletes_tokens_mails_and_pending_addresses(fake_clock, inbox):
    create_verified()
    recovery.request_reset("u1@shop.example")
    run_jobs(fake_clock)
    change("u1", {"email": "canary@shop.example"})
    application.erase("u1", "u1", OLD, None, lambda user: None)
    run_jobs(fake_clock)
    documents = [doc | {"outbox": []} for doc in repository.accounts.iterate()]
    assert "canary" not in str([documents, list(account_mails.account_mails.iterate())])
    assert [address for address, _, _ in inbox] == ["u1@shop.example"]
