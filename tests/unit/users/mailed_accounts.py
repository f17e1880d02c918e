"""Accounts on a platform that sends mail, for the tests of what is mailed to them."""

from chassis import clock
from services.notifications import delivery
from services.notifications import repository as notified
from services.users import account_mails, application, recovery, repository
from services.users.domain import WrongCredentials
from services.users.settings import UsersSettings

OLD, NEW = "correct horse battery", "another correct horse"


def use_settings(monkeypatch, **chosen):
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
    fake_clock.pass_time(max(account_mails.RETRY_AFTER_S, delivery.FIRST_RETRY_S) + 1)
    account_mails.send_account_mails()
    fake_clock.pass_time(1)
    delivery.send_mail()


def stored():
    """Everything that the two services keep, as text."""
    documents = [*repository.accounts.iterate(), *account_mails.account_mails.iterate()]
    return str([*documents, *notified.account_mails.iterate(), *notified.notifications.iterate()])
