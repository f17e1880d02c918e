"""Every change of credentials ends all sessions, wherever the process dies and whoever signs in meanwhile."""

import pytest

from chassis.errors import NotFound
from services.users import (
    access,
    account_mails,
    application,
    credentials,
    domain,
    keys,
    passwords,
    repository,
    sessions,
)
from services.users.messages import GetAccess
from tests.unit.conftest import crashes

OLD, NEW = "correct horse battery", "another correct horse"


@pytest.fixture(autouse=True)
def _stored(store, fake_clock, monkeypatch):
    stored = (repository.accounts, sessions.refresh_token_families, keys.signing_keys, account_mails.account_mails)
    for collection in stored:
        collection.attach(store).ensure_indexes()
    # argon2 has tests of its own, and takes most of the time of these
    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "matches", lambda password, stored: stored == f"hash of {password}")


def create(id="u1", role="customer"):
    return application.create(id, f"{id}@shop.example", "Ada Byron", OLD, role=role)


def sign_in(id="u1", password=OLD):
    return application.sign_in(f"{id}@shop.example", password, "", lambda: None)[1]


def is_accepted(session):
    """Whether an access token of this session is accepted."""
    query = GetAccess(user_id=session.user, session_id=session.id, credentials_version=session.credentials_version)
    return access.get_access(query).role is not None


def is_renewable(session):
    try:
        application.renew(session.token)
    except sessions.SignedOut:
        return False
    return True


def events(id, type):
    return [entry["data"] for entry in repository.accounts.get(id)["outbox"] if entry["type"] == type]


def set_password(id):
    return lambda: application.change(id, id, {"password": NEW}, OLD, None, f"set {id}")


def set_address(id):
    return lambda: application.change(id, id, {"email": f"new-{id}@shop.example"}, OLD, None, f"set {id}")


def lock(id):
    return lambda: credentials.change(id, lambda account: None if account["locked"] else {"locked": True})


def promote(id):
    return lambda: credentials.change(id, lambda account: None if account["role"] == "admin" else {"role": "admin"})


def erase(id):
    return lambda: application.erase(id, id, OLD, None, lambda _: None)


@pytest.mark.parametrize("operation", [set_password, set_address, lock, promote, erase])
def test_no_session_outlives_a_change_that_a_crash_interrupts(store, operation):
    """Checked before any retry and before any job: the write that changes the account ends the sessions."""
    thieves = {}

    def work(place):
        create(place)
        thieves[place] = sign_in(place)
        operation(place)()

    for place in crashes(store, work):
        account, thief = repository.accounts.get(place), thieves.get(place)
        if thief is None:
            continue
        changed = credentials.version_of(account) > 0
        assert is_accepted(thief) is is_renewable(thief) is not changed
        revoked = events(place, "user.sessions_revoked") + events(place, "user.deleted")
        assert len(revoked) == changed
    assert changed


@pytest.mark.parametrize("operation", [set_password, set_address, lock, promote])
def test_a_retry_after_a_crash_changes_the_credentials_once(store, operation):
    def work(place):
        operation(place)()

    def prepared():
        for after in ("before", "after"):
            for at in range(1, 40):
                create(f"{after}-{at}")

    prepared()
    for place in crashes(store, work):
        operation(place)()
        assert credentials.version_of(repository.get(place)) == 1
        assert len(events(place, "user.sessions_revoked")) == 1
        assert sessions.refresh_token_families.count({"userId": place}) == 0


@pytest.mark.parametrize("operation", [set_password, set_address, lock, promote, erase])
def test_a_sign_in_under_way_leaves_nothing_once_the_credentials_change(monkeypatch, operation):
    """The password was checked, the credentials change, and only then the session is stored."""
    create()
    begin, began = sessions.begin, []

    def begin_late(*arguments):
        operation("u1")()
        began.append(begin(*arguments))
        return began[0]

    monkeypatch.setattr(sessions, "begin", begin_late)
    with pytest.raises(domain.WrongCredentials):
        sign_in()
    assert not is_accepted(began[0])
    assert not is_renewable(began[0])
    assert list(sessions.refresh_token_families.iterate()) == []


@pytest.mark.parametrize("operation", [set_password, erase])
def test_a_sign_in_just_before_the_credentials_change_is_ended_by_the_change(monkeypatch, operation):
    create()
    is_current = access.is_current

    def change_late(session):
        found = is_current(session)
        operation("u1")()
        return found

    monkeypatch.setattr(access, "is_current", change_late)
    session = sign_in()
    assert not is_accepted(session)
    assert list(sessions.refresh_token_families.iterate()) == []


def test_a_change_of_the_password_checks_it_again_after_a_concurrent_change(monkeypatch):
    """The owner sets a new password after the thief's request compared the old one, and before it writes."""
    create()
    check, raced = credentials.require_reauthentication, []

    def check_then_lose_the_race(*arguments):
        check(*arguments)
        if not raced:
            raced.append(True)
            application.change("u1", "u1", {"password": NEW}, OLD, None, "owner")

    monkeypatch.setattr(credentials, "require_reauthentication", check_then_lose_the_race)
    with pytest.raises(credentials.ReauthenticationRequired):
        application.change("u1", "u1", {"password": "the thief's own"}, OLD, None, "thief")
    sign_in(password=NEW)


@pytest.mark.parametrize("fields", [{"password": NEW}, {"email": "thief@shop.example"}])
@pytest.mark.parametrize("sent", ["", "wrong", NEW])
def test_credentials_stay_without_the_current_password(fields, sent):
    create()
    session = sign_in()
    with pytest.raises(credentials.ReauthenticationRequired):
        application.change("u1", "u1", fields, sent, None, "k")
    with pytest.raises(credentials.ReauthenticationRequired):
        application.erase("u1", "u1", sent, None, lambda _: None)
    account = repository.get("u1")
    assert (account["version"], account["pending"]) == (1, 1)
    assert is_accepted(session)


def test_administrator_sends_the_own_password_and_not_that_of_the_account():
    create("boss", "admin")
    application.change("boss", "boss", {"password": NEW}, OLD, None, "k1")
    create()
    with pytest.raises(credentials.ReauthenticationRequired):
        application.change("boss", "u1", {"email": "x@shop.example"}, OLD, None, "k2")
    application.change("boss", "u1", {"email": "x@shop.example"}, NEW, None, "k2")
    assert repository.get("u1")["email"] == "x@shop.example"


def test_a_change_of_the_name_needs_no_password_and_ends_no_session():
    create()
    session = sign_in()
    application.change("u1", "u1", {"name": "Ada"}, "", None, "k")
    assert is_accepted(session) and is_renewable(session)


def test_account_session_and_token_of_release_0_2_0_work_until_the_credentials_change():
    create()
    old = sign_in()
    repository.accounts.update("u1", {"$unset": {"credentialsVersion": True, "locked": True}})
    added = ("credentialsVersion", "createdAt", "endReason", "revocationPending")
    sessions.refresh_token_families.update(old.id, {"$unset": dict.fromkeys(added, True)})
    without_session = GetAccess(user_id="u1", session_id="", credentials_version=0)
    assert access.get_access(without_session).role == "customer"
    account, renewed = application.renew(old.token)
    assert (account["_id"], renewed.credentials_version) == ("u1", 0)
    set_password("u1")()
    assert access.get_access(without_session).role is None
    assert not is_renewable(renewed)
    assert sign_in(password=NEW).credentials_version == 1


def test_locked_account_tells_only_who_knows_the_password():
    create()
    lock("u1")()
    with pytest.raises(application.domain.WrongCredentials):
        sign_in(password="wrong")
    with pytest.raises(application.domain.AccountLocked):
        sign_in()
    with pytest.raises(application.BuyerLocked):
        application.check_buyer(application.CheckBuyer(user_id="u1"))


def end_by_owner(session):
    return lambda: access.end_session(session.user, session.id)


def sign_out(session):
    return lambda: application.sign_out(session.token)


def reuse(session):
    def work():
        with pytest.raises(sessions.SignedOut):
            application.renew(session.token)

    return work


@pytest.mark.parametrize(("end", "reason"), [(end_by_owner, None), (sign_out, None), (reuse, "refresh_reuse")])
def test_ended_session_is_announced_wherever_the_process_dies(store, fake_clock, end, reason):
    others = {}

    def work(place):
        create(place)
        session, others[place] = sign_in(place), sign_in(place)
        if end is reuse:
            application.renew(session.token)
            fake_clock.pass_time(sessions.REUSE_GRACE_S + 1)
        end(session)()

    for place in crashes(store, work):
        access.finish_endings()
        families = sessions.refresh_token_families.find({"userId": place})
        ended = [family["_id"] for family in families if family["ended"]]
        told = events(place, "user.sessions_revoked") if repository.accounts.get(place) else []
        assert [event["sessionId"] for event in told] == ended
        assert all(event.get("reason") == reason for event in told)
        assert not any(family["revocationPending"] for family in families)
        if other := others.get(place):
            assert is_accepted(other)
    assert ended


def test_a_change_waits_for_a_bounded_number_of_sessions_to_be_deleted(monkeypatch):
    monkeypatch.setattr(sessions, "MAX_DELETED_AT_ONCE", 3)
    create()
    begun = [sign_in() for _ in range(5)]
    set_password("u1")()
    assert sessions.refresh_token_families.count({"userId": "u1"}) == 2
    assert not any(is_accepted(session) or is_renewable(session) for session in begun), "the version ends all of them"


def test_ended_session_and_its_tokens_are_refused():
    create()
    create("u2")
    mine, other = sign_in(), sign_in()
    with pytest.raises(NotFound):
        access.end_session("u2", mine.id)
    assert is_accepted(mine)
    access.end_session("u1", mine.id)
    assert not is_accepted(mine) and not is_renewable(mine)
    assert is_accepted(other) and is_renewable(other)
