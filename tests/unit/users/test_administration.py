"""The first administrator, roles, locks and resets, and the security events that they leave."""

import pytest

from chassis.errors import InvalidInput
from chassis.store import StoreUnavailable
from chassis.testing import capture_logs
from services.users import administration, application, repository, sessions
from services.users.administration import OPERATOR, AddressTaken
from services.users.domain import AccountLocked, LastAdministrator, ResetOfLockedAccount, WrongCredentials
from services.users.security_events import SecurityEvent, record, security_events
from tests.unit.conftest import crashes

pytestmark = pytest.mark.usefixtures("stored_accounts")

PASSWORD, WEAK = "correct horse battery", "administrator"
ROOT, ADA = "root@shop.example", "ada@shop.example"


def create_first(email=ROOT, password=PASSWORD):
    return administration.create_first(email, "Administrator", password)


def sign_in(email, password=PASSWORD):
    return application.sign_in(email, password, "", lambda account: None)


def sign_up(email=ADA):
    return application.create(f"id-of-{email.partition('@')[0]}", email, "Ada Byron", PASSWORD)["_id"]


def erase(id):
    application.erase(id, id, PASSWORD, None, lambda user: None)


def administrators():
    return [account["email"] for account in repository.accounts.iterate({"role": "admin"}) if not account["erased"]]


def events(lines):
    return [
        (line["event"], line["userId"], line.get("actor", ""), line.get("change", ""))
        for line in lines
        if "event" in line
    ]


@pytest.fixture
def root():
    create_first()
    return repository.find_by_email(ROOT)["_id"]


@pytest.fixture
def second(root):
    """Another administrator, so that the first is not the last."""
    id = sign_up("second@shop.example")
    administration.set_role(id, "admin", OPERATOR)
    return id


def test_first_administrator_is_made_once(root):
    assert create_first() == administration.FirstAdministrator(created=False, email=ROOT)
    assert create_first("other@shop.example").created is False
    assert administrators() == [ROOT]


@pytest.mark.parametrize("loss", ["renamed", "deleted", "demoted", "locked"])
def test_first_administrator_does_not_come_back(root, second, loss):
    if loss == "renamed":
        application.change(root, root, {"email": "new@shop.example"}, PASSWORD, None, "1")
    elif loss == "deleted":
        erase(root)
    elif loss == "demoted":
        administration.set_role(root, "customer", second)
    else:
        administration.lock(root, second)
    before = administrators()
    again = create_first()
    assert not again.created and again.email == {"renamed": "new@shop.example", "locked": ROOT}.get(loss, "")
    assert administrators() == before


def test_address_of_a_customer_is_refused_and_the_customer_stays_one():
    customer = sign_up(ROOT)
    with pytest.raises(AddressTaken, match=f"mercato user promote {ROOT}"):
        create_first()
    assert administrators() == []
    assert create_first("boss@shop.example").created
    assert repository.get(customer)["role"] == "customer"


def test_promoted_customer_is_the_first_administrator():
    customer = sign_up(ROOT)
    with pytest.raises(AddressTaken):
        create_first()
    administration.set_role(customer, "admin", OPERATOR)
    assert create_first() == administration.FirstAdministrator(created=False, email=ROOT)
    assert administrators() == [ROOT]


@pytest.mark.parametrize("erased", [False, True])
def test_administrator_of_release_0_2_0_is_the_first(erased):
    old = application.create("old", "admin@shop.example", "Administrator", PASSWORD, role="admin")["_id"]
    if erased:
        repository.accounts.update(old, {"$set": {"erased": True, "emailKey": "erased:old"}})
    for _ in range(2):
        assert create_first().created is False
    assert administration.first_administrator.get("first")["userId"] == old


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [("nobody", PASSWORD, "email"), (ROOT, "short", "password"), (ROOT, WEAK, "password"), (ROOT, ROOT, "password")],
)
def test_weak_or_invalid_administrator_is_refused(email, password, field):
    with pytest.raises(InvalidInput) as refused:
        create_first(email, password)
    assert refused.value.extra["errors"][0]["field"] == field
    assert administrators() == [] and administration.first_administrator.get("first") is None
    assert create_first().created


def test_first_administrator_exists_wherever_the_process_dies(store):
    for _ in crashes(store, lambda place: create_first()):
        create_first()
        assert administrators() == [ROOT]


def test_role_and_lock_take_effect_wherever_the_process_dies(store, root):
    id = sign_up()
    steps = (
        (lambda: administration.set_role(id, "admin", root), lambda account: account["role"] == "admin"),
        (lambda: administration.lock(id, root), lambda account: account["locked"]),
        (lambda: administration.unlock(id, root), lambda account: not account["locked"]),
        (lambda: administration.set_role(id, "customer", root), lambda account: account["role"] == "customer"),
    )
    for work, holds in steps:
        session = None if repository.get(id)["locked"] else sign_in(ADA)[1]
        for at in range(1, 20):
            if not store.interrupts(work, at, after=at % 2 == 0):
                break
            account = repository.get(id)
            if holds(account) and session:
                with pytest.raises(sessions.SignedOut):
                    application.renew(session.token)
                session = None
        work()
        assert holds(repository.get(id))
        if session:
            with pytest.raises(sessions.SignedOut):
                application.renew(session.token)


@pytest.mark.parametrize("loss", ["demote", "lock", "erase"])
def test_last_administrator_stays(root, loss):
    lose = {
        "demote": lambda: administration.set_role(root, "customer", root),
        "lock": lambda: administration.lock(root, root),
        "erase": lambda: erase(root),
    }[loss]
    locked = sign_up("second@shop.example")
    administration.set_role(locked, "admin", root)
    administration.lock(locked, root)
    with pytest.raises(LastAdministrator):
        lose()
    assert sign_in(ROOT)
    administration.unlock(locked, root)
    lose()


def test_changes_end_sessions_and_name_who_made_them(root):
    id = sign_up()
    session = sign_in(ADA)[1]
    with capture_logs() as lines:
        administration.set_role(id, "admin", root)
        administration.set_role(id, "admin", root)
    assert events(lines) == [("admin_acted", id, root, "role admin")], "what changes nothing is no event"
    with pytest.raises(sessions.SignedOut):
        application.renew(session.token)
    administration.end_sessions(id, OPERATOR)
    assert [(each["by"], each["change"]) for each in repository.get(id)["actions"]] == [
        (root, "role admin"),
        (OPERATOR, "sessions ended"),
    ]
    for _ in range(administration.MAX_ACTIONS):
        administration.end_sessions(id, OPERATOR)
    assert len(repository.get(id)["actions"]) == administration.MAX_ACTIONS


def test_locked_account_cannot_sign_in_until_it_is_unlocked(root):
    id = sign_up()
    with capture_logs() as lines:
        administration.lock(id, root)
        with pytest.raises(AccountLocked):
            sign_in(ADA)
        with pytest.raises(WrongCredentials):
            sign_in(ADA, "not this one")
        administration.unlock(id, root)
        assert sign_in(ADA)
    assert events(lines) == [
        ("account_locked", id, root, "locked"),
        ("admin_acted", id, root, "locked"),
        ("sign_in_failed", id, "", "locked"),
        ("sign_in_failed", id, "", "password"),
        ("account_unlocked", id, root, "unlocked"),
        ("admin_acted", id, root, "unlocked"),
    ]


def test_reset_makes_the_password_useless_and_returns_a_link(root):
    id = sign_up()
    session = sign_in(ADA)[1]
    with capture_logs() as lines:
        link = administration.reset(id, OPERATOR)
    with pytest.raises(WrongCredentials):
        sign_in(ADA)
    with pytest.raises(sessions.SignedOut):
        application.renew(session.token)
    token = link.partition("#")[2]
    assert token and token not in repr(lines) and token not in repr(repository.get(id))
    administration.recovery.confirm_reset(token, "another horse battery")
    assert sign_in(ADA, "another horse battery")[0]["_id"] == id


def test_reset_of_a_locked_account_is_refused_as_its_link_would_not_work(root):
    id = sign_up()
    before = administration.lock(id, OPERATOR)
    with pytest.raises(ResetOfLockedAccount):
        administration.reset(id, OPERATOR)
    assert repository.get(id) == before
    administration.unlock(id, OPERATOR)
    assert "#" in administration.reset(id, OPERATOR)


def test_account_is_found_by_id_and_by_every_spelling_of_its_address(root):
    id = sign_up("ada@bücher.example")
    for user in (id, "ada@bücher.example", "ADA@xn--bcher-kva.example"):
        assert administration.find(user)["_id"] == id
    erase(id)
    with pytest.raises(administration.NotFound):
        administration.find(id)


@pytest.mark.parametrize("event", SecurityEvent)
def test_security_event_is_a_line_and_a_count(event):
    counter = security_events[event.value]
    before = counter._value.get()
    with capture_logs() as lines:
        record(event, "u1", change="password")
    assert counter._value.get() == before + 1
    (line,) = lines
    assert (line["event"], line["level"], line["userId"]) == (event.value, "warning", "u1")


def test_store_that_is_away_is_no_refusal(store):
    store.fail(1, after=False)
    with pytest.raises(StoreUnavailable):
        create_first()
