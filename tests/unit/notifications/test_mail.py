"""Mail: sent once the server accepts it, and never to an erased user."""

import pytest

from chassis import clock
from chassis.errors import OutcomeUnknown
from chassis.events.envelope import Meta
from services.notifications import handlers, jobs, mail, repository
from services.notifications.settings import NotificationsSettings
from services.orders.messages import OrderShipped
from services.users.messages import UserCreated, UserDeleted

ADDRESS = "ada@example.com"


@pytest.fixture(autouse=True)
def collections(store, fake_clock, monkeypatch):
    repository.recipients.attach(store).ensure_indexes()
    repository.notifications.attach(store).ensure_indexes()
    repository.account_mails.attach(store).ensure_indexes()
    monkeypatch.setattr(mail, "settings", lambda: NotificationsSettings(smtp_url="smtp://mail.example"))


@pytest.fixture
def outgoing(monkeypatch):
    """The (address, subject) of every mail that the server accepted."""
    accepted = []
    monkeypatch.setattr(mail, "send", lambda id, user, address, subject, body: accepted.append((address, subject)))
    return accepted


def sign_up():
    meta = Meta("u1:1", "users", "user.created", "", "u1", 1)
    handlers.on_user_created(UserCreated(user_id="u1", email=ADDRESS, name="Ada"), meta)


def ship():
    meta = Meta("o1:3", "orders", "order.shipped", "", "o1", 3)
    handlers.on_order_event(OrderShipped(order_id="o1", user_id="u1"), meta)


def send_mail(fake_clock):
    fake_clock.pass_time(jobs.RETRY_AFTER_S + 1)
    jobs.send_mail()


def published(id):
    return [entry["type"] for entry in repository.notifications.get(id)["outbox"]]


def test_a_pending_mail_is_sent_and_published_once(fake_clock, outgoing):
    sign_up()
    assert (repository.notifications.get("u1-1")["status"], published("u1-1")) == ("pending", [])
    for _ in range(2):
        send_mail(fake_clock)
    assert outgoing == [(ADDRESS, "Welcome to the shop")]
    assert (repository.notifications.get("u1-1")["status"], published("u1-1")) == ("sent", ["notification.sent"])


def test_a_mail_that_the_server_rejects_is_retried_later(fake_clock, monkeypatch):
    attempts = []

    def fail(*mail):
        attempts.append(clock.timestamp())
        raise OutcomeUnknown("the mail server did not accept the mail")

    monkeypatch.setattr(mail, "send", fail)
    sign_up()
    send_mail(fake_clock)
    jobs.send_mail()
    assert len(attempts) == 1
    send_mail(fake_clock)
    assert len(attempts) == 2
    assert repository.notifications.get("u1-1")["status"] == "pending"


def test_a_mail_waits_for_the_address_of_its_user(fake_clock, outgoing):
    ship()
    send_mail(fake_clock)
    assert outgoing == []
    sign_up()
    send_mail(fake_clock)
    assert sorted(outgoing) == [(ADDRESS, "Welcome to the shop"), (ADDRESS, "Your order is on its way")]


def test_an_erased_user_gets_no_mail(fake_clock, outgoing):
    sign_up()
    handlers.on_user_deleted(UserDeleted(user_id="u1"), Meta("u1:2", "users", "user.deleted", "", "u1", 2))
    ship()
    send_mail(fake_clock)
    jobs.finish_erasures()
    assert outgoing == []
    assert list(repository.notifications.iterate()) == []
