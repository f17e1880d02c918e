"""Mails that advertise go to users who agreed to them, and end with one click."""

from email import message_from_bytes, policy

import pytest

from chassis import calls, clock
from chassis.errors import InvalidInput, NotAttempted
from chassis.events.envelope import Meta
from services.carts.messages import AbandonedItem, CartAbandoned
from services.notifications import application, delivery, handlers, jobs, mail, mail_files, repository
from services.users.messages import StopAdvertising, UserCreated, UserDeleted, UserUpdated
from tests.unit.notifications.mailing import FakeTransport, use_settings


@pytest.fixture(autouse=True)
def collections(store, fake_clock):
    for each in (repository.recipients, repository.notifications, repository.account_mails, repository.placed_orders):
        each.attach(store).ensure_indexes()


@pytest.fixture
def transport(monkeypatch):
    use_settings(monkeypatch, smtp_url="smtp://mail.example", public_url="https://shop.example/")
    fake = FakeTransport()
    monkeypatch.setattr(mail, "transport", fake)
    return fake


def sign_up(user, marketing):
    event = UserCreated(user_id=user, email=f"{user}@example.com", name="Ada", language="en", marketing=marketing)
    meta = Meta(f"{user}:1", "users", event.type, "", user, 1)
    repository.recipients.set_personal(user, handlers._personal(event), meta)


def update(user, sequence, marketing):
    event = UserUpdated(user_id=user, email=f"{user}@example.com", name="Ada", language="en", marketing=marketing)
    handlers.on_user_updated(event, Meta(f"{user}:{sequence}", "users", event.type, "", user, sequence))


def abandon(user, sequence=1):
    items = [AbandonedItem(product_id="p", name="<Kettle>", quantity=2)]
    event = CartAbandoned(cart_id=user, user_id=user, items=items)
    handlers.on_cart_abandoned(event, Meta(f"{user}:{sequence}", "carts", event.type, "", user, sequence))


def deliver():
    clock.sleep(1)
    delivery.send_mail()


def token():
    (notification,) = repository.notifications.iterate()
    return f"{notification['_id']}.{notification['unsubscribeSecret']}"


def test_only_a_user_who_agreed_is_reminded_once(transport):
    sign_up("yes", True)
    sign_up("no", False)
    sign_up("old", None)
    for user in ("yes", "no", "old", "unknown"):
        for _ in range(2):
            abandon(user)
    deliver()
    (sent,) = transport.got
    assert sent.address == "yes@example.com"
    assert "2 × <Kettle>" in sent.text
    assert "2 × &lt;Kettle&gt;" in sent.html
    assert sent.unsubscribe_url == f"https://shop.example/api/notifications/unsubscribe?token={token()}"


def test_a_mail_can_be_answered_with_one_click_whatever_the_length_of_the_link(transport):
    sign_up("yes", True)
    abandon("yes")
    deliver()
    message = mail.compose(transport.got[0], "quoted-printable")
    for raw in (mail_files.to_bytes(message), mail.smtp._to_bytes(message, utf8=False)):
        assert f"List-Unsubscribe: <{transport.got[0].unsubscribe_url}>".encode() in raw.splitlines()
        assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in raw.splitlines()
        assert message_from_bytes(raw, policy=policy.default)["Subject"] == "You left something in your cart"


def test_no_other_mail_offers_to_unsubscribe(transport):
    sign_up("yes", True)
    application.notify("yes", "welcome", Meta("yes:1", "users", "user.created", "", "yes", 1))
    deliver()
    assert mail.compose(transport.got[0], "quoted-printable")["List-Unsubscribe"] is None


def test_after_a_click_a_waiting_mail_is_not_sent_and_users_is_told(transport, monkeypatch):
    told = []
    sign_up("yes", True)
    abandon("yes")
    click = token()
    for _ in range(2):
        application.unsubscribe(click)
    deliver()
    abandon("yes", 2)
    assert (transport.got, len(list(repository.notifications.iterate()))) == ([], 1)

    def is_away(command, key):
        raise NotAttempted("users is away")

    monkeypatch.setattr(calls, "send", is_away)
    jobs.report_unsubscribed()
    monkeypatch.setattr(calls, "send", lambda command, key: told.append((command, key)))
    for _ in range(2):
        jobs.report_unsubscribed()
    assert told == [(StopAdvertising(user_id="yes"), "cart-yes-1:unsubscribe")]
    update("yes", 2, True)
    abandon("yes", 3)
    assert len(list(repository.notifications.iterate())) == 2, "the user agreed again"


@pytest.mark.parametrize("wrong", ["", ".", "cart-yes-1.", "cart-yes-1.wrong", "nothing.x", "yes-0."])
def test_another_token_changes_nothing(transport, wrong):
    sign_up("yes", True)
    application.notify("yes", "welcome", Meta("yes:0", "users", "user.created", "", "yes", 0))
    abandon("yes")
    with pytest.raises(InvalidInput):
        application.unsubscribe(wrong)
    assert repository.wants_advertising("yes")


def test_erasure_removes_the_agreement_and_the_token(transport):
    sign_up("yes", True)
    abandon("yes")
    repository.notifications.update("cart-yes-1", {"$set": {"pending": 0}})
    handlers.on_user_deleted(UserDeleted(user_id="yes"), Meta("yes:2", "users", "user.deleted", "", "yes", 2))
    jobs.finish_erasures()
    assert list(repository.notifications.iterate()) == []
    assert "marketing" not in repository.recipients.get("yes")
