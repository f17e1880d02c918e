"""Mail: sent until the server decides, never to an erased user, and given up where it says so."""

import pytest

from chassis.events.envelope import Meta
from chassis.testing import capture_logs
from services.notifications import delivery, handlers, jobs, mail, repository
from services.notifications.mail import Outcome, Reply, ServerUnavailable
from services.orders.messages import OrderConfirmed, OrderItem, OrderPlaced, OrderShipped
from services.users.messages import UserCreated, UserDeleted, UserUpdated
from tests.unit.notifications.mailing import SENT, FakeTransport, use_settings

ADDRESS = "ada@example.com"
WELCOME = (ADDRESS, "Welcome to the shop")
DEFERRED = Reply(Outcome.DEFERRED, 451, "4.7.1 greylisted, try again")
BOUNCED = Reply(Outcome.BOUNCED, 550, "5.1.1 no such user")
UNKNOWN = Reply(Outcome.UNKNOWN, 0, "connection lost: SMTPServerDisconnected")


@pytest.fixture(autouse=True)
def transport(store, fake_clock, monkeypatch):
    for collection in (
        repository.recipients,
        repository.notifications,
        repository.account_mails,
        repository.placed_orders,
    ):
        collection.attach(store).ensure_indexes()
    fake = FakeTransport()
    monkeypatch.setattr(mail, "transport", fake)
    use_settings(monkeypatch, smtp_url="smtp://mail.example")
    return fake


def sign_up(user="u1", address=ADDRESS, language="en"):
    meta = Meta(f"{user}:1", "users", "user.created", "", user, 1)
    handlers.on_user_created(UserCreated(user_id=user, email=address, name="Ada", language=language), meta)


def change_address(address):
    meta = Meta("u1:2", "users", "user.updated", "", "u1", 2)
    handlers.on_user_updated(UserUpdated(user_id="u1", email=address, name="Ada"), meta)


def ship(order="o1"):
    meta = Meta(f"{order}:3", "orders", "order.shipped", "", order, 3)
    handlers.on_order_event(OrderShipped(order_id=order, user_id="u1"), meta)


def place_and_confirm():
    item = OrderItem(product_id="p1", name="Camp <mug>", quantity=2, price="12.00")
    placed = OrderPlaced(order_id="o1", user_id="u1", items=[item], total_amount="24.00", currency="EUR")
    handlers.on_order_placed(placed, Meta("o1:1", "orders", "order.placed", "", "o1", 1))
    confirmed = OrderConfirmed(order_id="o1", user_id="u1", payment_id="pay1")
    handlers.on_order_event(confirmed, Meta("o1:2", "orders", "order.confirmed", "", "o1", 2))


def send_mail(fake_clock, after_s=1.0):
    fake_clock.pass_time(after_s)
    delivery.send_mail()


def sent(transport):
    return [(each.address, each.subject) for each in transport.got]


def welcome():
    return repository.notifications.get("u1-1")


def published(id):
    return [entry["type"] for entry in repository.notifications.get(id)["outbox"]]


def test_a_pending_mail_is_sent_and_published_once(fake_clock, transport):
    sign_up()
    assert (welcome()["status"], published("u1-1")) == ("pending", [])
    for _ in range(2):
        send_mail(fake_clock)
    assert sent(transport) == [WELCOME]
    assert (welcome()["status"], published("u1-1")) == ("sent", ["notification.sent"])


def test_a_deferred_mail_waits_longer_each_time_and_fails_after_a_day(fake_clock, transport):
    transport.reply = lambda mail: DEFERRED
    sign_up()
    waited_s, waits = 0, []
    while welcome()["mailPending"]:
        before = len(transport.got)
        send_mail(fake_clock, 5.0)
        waited_s += 5
        if len(transport.got) > before:
            waits.append(waited_s)
            waited_s = 0
    assert waits[1:5] == [15, 25, 45, 85]
    assert max(waits) <= delivery.MAX_RETRY_S + 5
    assert delivery.GIVE_UP_AFTER_S <= sum(waits) <= delivery.GIVE_UP_AFTER_S + delivery.MAX_RETRY_S + 10
    assert (welcome()["status"], published("u1-1")) == ("failed", [])
    assert (welcome()["mailFailure"]["code"], welcome()["mailFailure"]["text"]) == (451, DEFERRED.text)


def test_a_refused_mail_fails_at_once_and_the_next_one_is_sent(fake_clock, transport):
    transport.reply = lambda mail: Reply(Outcome.REFUSED, 554, "5.7.1 spam") if "Welcome" in mail.subject else SENT
    sign_up()
    ship()
    with capture_logs() as lines:
        for _ in range(5):
            send_mail(fake_clock)
    assert len(transport.got) == 2
    assert (welcome()["status"], repository.notifications.get("o1-3")["status"]) == ("failed", "sent")
    (failure,) = [line for line in lines if line["message"] == "mail failed"]
    assert (failure["mailId"], failure["code"], failure["text"]) == ("u1-1", 554, "5.7.1 spam")


def test_a_bounced_address_gets_no_mail_until_it_changes(fake_clock, transport):
    transport.reply = lambda mail: BOUNCED
    sign_up()
    send_mail(fake_clock)
    ship()
    send_mail(fake_clock)
    assert sent(transport) == [WELCOME]
    assert repository.notifications.get("o1-3")["status"] == "failed"
    transport.reply = lambda mail: SENT
    change_address("ada@elsewhere.example")
    ship("o2")
    send_mail(fake_clock)
    assert sent(transport)[1:] == [("ada@elsewhere.example", "Your order is on its way")]
    assert ADDRESS not in str(repository.recipients.get("u1"))


def test_a_mail_whose_reply_is_lost_is_sent_again_under_its_id_a_few_times(fake_clock, transport):
    transport.reply = lambda mail: UNKNOWN
    sign_up()
    for _ in range(12):
        send_mail(fake_clock, delivery.MAX_RETRY_S)
    assert {each.id for each in transport.got} == {"u1-1"}
    assert len(transport.got) == delivery.MAX_UNKNOWN
    assert welcome()["status"] == "failed"


def test_while_the_server_is_unavailable_no_mail_fails(fake_clock, transport):
    transport.is_up = False
    sign_up()
    for _ in range(3):
        with pytest.raises(ServerUnavailable):
            send_mail(fake_clock, delivery.GIVE_UP_AFTER_S)
    assert (welcome()["mailPending"], welcome()["mailAttempts"]) == (True, 0)
    transport.is_up = True
    send_mail(fake_clock)
    assert sent(transport) == [WELCOME]


def test_two_workers_send_a_mail_once(fake_clock, transport):
    sign_up()

    def another_worker_is_first(mail):
        if len(transport.got) == 1:
            delivery.send_mail()
        return SENT

    transport.reply = another_worker_is_first
    send_mail(fake_clock)
    assert sent(transport) == [WELCOME]


def test_a_worker_that_is_killed_while_it_sends_leaves_the_mail_to_others(fake_clock, transport):
    def die(mail):
        raise KeyboardInterrupt

    sign_up()
    transport.reply = die
    with pytest.raises(KeyboardInterrupt):
        send_mail(fake_clock)
    transport.reply = lambda mail: SENT
    send_mail(fake_clock)
    assert len(transport.got) == 1
    send_mail(fake_clock, delivery.CLAIM_S)
    assert [each.id for each in transport.got] == ["u1-1", "u1-1"]


def test_one_connection_carries_many_mails_up_to_the_limit_per_second(fake_clock, transport, monkeypatch):
    use_settings(monkeypatch, smtp_url="smtp://mail.example", mails_per_s=3)
    for number in range(5):
        sign_up(f"u{number}", f"user{number}@example.com")
    send_mail(fake_clock)
    assert (len(transport.got), transport.sessions) == (3, 1)
    send_mail(fake_clock)
    assert (len(transport.got), transport.sessions) == (5, 2)
    send_mail(fake_clock)
    assert transport.sessions == 2  # nothing is due: no connection


def test_a_mail_waits_for_the_address_of_its_user(fake_clock, transport, capsys):
    ship()
    send_mail(fake_clock)
    assert transport.got == []
    assert "mail not sent" not in capsys.readouterr().err, "nothing is wrong yet"
    sign_up()
    send_mail(fake_clock, delivery.FIRST_RETRY_S + 1)
    assert sorted(sent(transport)) == [WELCOME, (ADDRESS, "Your order is on its way")]


def test_a_mail_whose_user_never_gets_an_address_fails_after_a_day(fake_clock, transport):
    ship()
    send_mail(fake_clock, delivery.GIVE_UP_AFTER_S - 60)
    assert repository.notifications.find({"mailPending": True})
    send_mail(fake_clock, 120)
    assert repository.notifications.find({"mailPending": True}) == []
    assert transport.got == []


def test_an_erased_user_gets_no_mail(fake_clock, transport):
    sign_up()
    place_and_confirm()
    handlers.on_user_deleted(UserDeleted(user_id="u1"), Meta("u1:2", "users", "user.deleted", "", "u1", 2))
    ship()
    send_mail(fake_clock)
    jobs.finish_erasures()
    assert transport.got == []
    assert [*repository.notifications.iterate(), *repository.placed_orders.iterate()] == []


def test_the_confirmation_lists_what_was_bought_and_the_store_forgets_it(fake_clock, transport):
    sign_up(language="de")
    place_and_confirm()
    assert list(repository.placed_orders.iterate()) == []
    send_mail(fake_clock)
    confirmation = next(each for each in transport.got if "bestätigt" in each.subject)
    assert "2 x Camp <mug>: 24,00 €" in confirmation.text.replace("\xa0", " ")
    assert "Camp &lt;mug&gt;" in confirmation.html
    assert "Camp <mug>" not in confirmation.html
    assert "mug" not in str(list(repository.notifications.iterate()))
