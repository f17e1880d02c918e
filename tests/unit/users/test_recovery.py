"""Links by mail: each works once, for thirty minutes, and nobody but the addressee ever sees its token."""

import pytest

from chassis import calls, clock
from chassis.errors import InvalidInput, OutcomeUnknown
from chassis.store.sqlite.store import SqliteStore
from chassis.testing import capture_logs
from services.notifications import application as notifications
from services.notifications import jobs, mail
from services.notifications import repository as notified
from services.notifications.settings import NotificationsSettings
from services.users import account_mails, application, credentials, passwords, recovery, repository, sessions
from services.users.domain import EmailTaken, WrongCredentials
from services.users.messages import BuyerUnverified, CheckBuyer, GetBuyer
from services.users.settings import UsersSettings
from tests.unit.conftest import FaultyStore

OLD, NEW = "correct horse battery", "another correct horse"


@pytest.fixture(autouse=True)
def _stored(store, fake_clock, monkeypatch):
    for collection in (repository.accounts, sessions.refresh_token_families, account_mails.account_mails):
        collection.attach(store).ensure_indexes()
    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "matches", lambda password, stored: stored == f"hash of {password}")


@pytest.fixture(autouse=True)
def notifications_store(tmp_path, fake_clock):
    engine = SqliteStore(tmp_path / "notifications.db")
    store = FaultyStore(engine)
    for collection in (notified.recipients, notified.notifications, notified.account_mails):
        collection.attach(store).ensure_indexes()
    yield store
    engine.close()


@pytest.fixture(autouse=True)
def inbox(monkeypatch):
    """The (address, subject, token) of each mail that was delivered; mail is on."""
    delivered = []

    def deliver(id, user, address, subject, body):
        delivered.append((address, subject, body.partition("#")[2].partition("\n")[0]))

    monkeypatch.setattr(mail, "send", deliver)
    monkeypatch.setattr(mail, "settings", lambda: NotificationsSettings(smtp_url="smtp://mail.example"))
    monkeypatch.setattr(calls, "send", lambda command, key: notifications.send_account_mail(command))
    use(monkeypatch)
    return delivered


def use(monkeypatch, **chosen):
    settings = UsersSettings(**{"smtp_url": "smtp://mail.example", "public_url": "https://shop.example/"} | chosen)
    for module in (account_mails, application, recovery):
        monkeypatch.setattr(module, "settings", lambda: settings)


def create(id="u1"):
    return application.create(id, f"{id}@shop.example", "Ada Byron", OLD)


def create_verified(id="u1"):
    create(id)
    repository.accounts.update(id, {"$set": {"verified": True, "mailsDue": False}, "$unset": {"mails": True}})


def change(id, fields):
    return application.change(id, id, fields, OLD, None, clock.new_id())


def can_sign_in(email, password):
    try:
        application.sign_in(email, password, "", lambda: None)
    except WrongCredentials:
        return False
    return True


def run_jobs(fake_clock):
    fake_clock.pass_time(max(account_mails.RETRY_AFTER_S, jobs.RETRY_AFTER_S) + 1)
    account_mails.send_account_mails()
    fake_clock.pass_time(1)
    jobs.send_mail()


@pytest.fixture
def mailed_token(fake_clock, inbox):
    """Return a function that delivers what is due and returns the token of the last mail with one."""

    def _mailed_token():
        run_jobs(fake_clock)
        return [token for _, _, token in inbox if token][-1]

    return _mailed_token


def stored():
    """Everything that the two services keep, as text."""
    documents = [*repository.accounts.iterate(), *account_mails.account_mails.iterate()]
    return str([*documents, *notified.account_mails.iterate(), *notified.notifications.iterate()])


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
    use(monkeypatch, smtp_url="")
    assert account_mails.is_verified(repository.get("u1"))
    assert create("u2")["verified"]


def test_unverified_accounts_order_unless_the_setting_forbids_it(monkeypatch, mailed_token):
    create()
    application.check_buyer(CheckBuyer(user_id="u1"))
    use(monkeypatch, unverified_orders="off")
    with pytest.raises(BuyerUnverified):
        application.check_buyer(CheckBuyer(user_id="u1"))
    recovery.confirm_address(mailed_token())
    application.check_buyer(CheckBuyer(user_id="u1"))


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
    use(monkeypatch, smtp_url="")
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


@pytest.mark.parametrize("failing", ["users", "notifications"])
def test_a_crash_at_any_write_of_the_jobs_loses_no_mail(store, notifications_store, fake_clock, inbox, failing):
    create_verified()
    faulty = store if failing == "users" else notifications_store

    def deliver():
        account_mails.send_account_mails()
        fake_clock.pass_time(1)
        jobs.send_mail()

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


def test_what_was_mailed_is_deleted_and_no_log_line_holds_it(fake_clock, inbox, monkeypatch, mailed_token):
    create_verified()
    recovery.request_reset("u1@shop.example")
    send, failed = mail.send, []

    def fail(*arguments):
        failed.append(arguments)
        raise OutcomeUnknown("the mail was not accepted: SMTPServerDisconnected")

    monkeypatch.setattr(mail, "send", fail)
    with capture_logs() as lines:
        run_jobs(fake_clock)
        monkeypatch.setattr(mail, "send", send)
        token = mailed_token()
        secret = token.partition(".")[2]
        assert secret not in stored()
        recovery.confirm_reset(token, NEW)
    assert secret in failed[0][4]
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


def test_an_operator_gets_a_link_without_mail(fake_clock, inbox):
    create_verified()
    link = recovery.reset_link(repository.get("u1"))
    run_jobs(fake_clock)
    assert link.startswith("https://shop.example/reset#")
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


def test_orders_learns_whether_the_address_of_a_buyer_is_confirmed(monkeypatch):
    create()
    create_verified("u2")
    assert [application.get_buyer(GetBuyer(user_id=id)).verified for id in ("u1", "u2", "nobody")] == [
        False,
        True,
        False,
    ]
    use(monkeypatch, smtp_url="")
    assert application.get_buyer(GetBuyer(user_id="u1")).verified, "where no mail is sent, everybody counts as verified"
