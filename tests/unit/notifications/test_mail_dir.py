"""Mails as files: for a platform without a mail server."""

import email
import email.policy
import stat

import pytest

from chassis.events.envelope import Meta
from services.notifications import application, delivery, handlers, jobs, mail_files, repository
from services.notifications.messages import AccountMail, MailOff, SendAccountMail
from services.users.messages import UserCreated, UserDeleted
from tests.unit.notifications.mailing import use_settings

ADDRESS = "ada@bücher.example"
LINK = f"https://shop.example/reset#{'x' * 26}.{'y' * 43}"


@pytest.fixture(autouse=True)
def folder(store, fake_clock, tmp_path, monkeypatch):
    for collection in (
        repository.recipients,
        repository.notifications,
        repository.account_mails,
        repository.placed_orders,
    ):
        collection.attach(store).ensure_indexes()
    use_settings(monkeypatch, mail_dir=str(tmp_path / "mail"))
    return tmp_path / "mail"


def sign_up():
    meta = Meta("u1:1", "users", "user.created", "", "u1", 1)
    handlers.on_user_created(UserCreated(user_id="u1", email=ADDRESS, name="Ada"), meta)


def command(id="m1"):
    until = "2030-01-01T00:30:00.000Z"
    return SendAccountMail(
        mail_id=id, user_id="u1", address=ADDRESS, kind=AccountMail.RESET, link=LINK, expires_at=until
    )


def send(fake_clock):
    fake_clock.pass_time(1)
    delivery.send_mail()


def parse(path):
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def test_every_mail_becomes_a_file_that_its_owner_alone_reads(folder, fake_clock):
    sign_up()
    application.send_account_mail(command())
    send(fake_clock)
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["u1.m1.eml", "u1.u1-1.eml"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in [*files, folder]} == {0o600, 0o700}
    account_mail = parse(files[0])
    assert (account_mail["To"], account_mail["Subject"]) == ("ada@xn--bcher-kva.example", "Set a new password")
    assert LINK in files[0].read_text().splitlines()


def test_a_notification_counts_as_sent_without_its_file_and_is_written_once(folder, fake_clock):
    sign_up()
    (welcome,) = repository.notifications.iterate()
    assert (welcome["channel"], welcome["status"]) == ("record", "sent")
    send(fake_clock)
    (path,) = folder.iterdir()
    path.unlink()
    send(fake_clock)
    assert list(folder.iterdir()) == []
    assert [entry["type"] for entry in repository.notifications.get(welcome["_id"])["outbox"]] == ["notification.sent"]


def test_a_repeated_command_writes_one_mail_and_keeps_no_text(folder, fake_clock):
    for _ in range(3):
        application.send_account_mail(command())
        send(fake_clock)
    assert len(list(folder.iterdir())) == 1
    assert LINK not in str(list(repository.account_mails.iterate()))
    assert ADDRESS not in str(list(repository.account_mails.iterate()))


def test_erasure_deletes_the_files_and_refuses_later_mails(folder, fake_clock):
    sign_up()
    application.send_account_mail(command())
    send(fake_clock)
    application.send_account_mail(command("m2"))
    handlers.on_user_deleted(UserDeleted(user_id="u1"), Meta("u1:2", "users", "user.deleted", "", "u1", 2))
    application.send_account_mail(command("m3"))
    jobs.finish_erasures()
    send(fake_clock)
    assert list(folder.iterdir()) == []
    assert list(repository.account_mails.iterate()) == []


def test_only_the_newest_files_are_kept(folder, fake_clock, monkeypatch):
    monkeypatch.setattr(mail_files, "MAX_FILES", 3)
    for number in range(5):
        application.send_account_mail(command(f"m{number}"))
        send(fake_clock)
    assert sorted(path.name for path in folder.iterdir()) == ["u1.m2.eml", "u1.m3.eml", "u1.m4.eml"]


def test_a_platform_without_mail_says_so(monkeypatch):
    use_settings(monkeypatch)
    with pytest.raises(MailOff):
        application.send_account_mail(command())
    assert list(repository.account_mails.iterate()) == []
