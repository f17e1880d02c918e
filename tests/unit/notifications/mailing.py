"""Mail in unit tests: settings, and a transport that replies as the test says."""

from contextlib import contextmanager

from services.notifications import delivery, mail, mail_files, smtp
from services.notifications.mail import Outcome, Reply
from services.notifications.settings import NotificationsSettings

SENT = Reply(Outcome.SENT, 250)


def use_settings(monkeypatch, **fields):
    """Give the modules of mail these settings."""
    chosen = NotificationsSettings(**fields)
    for module in (mail, mail_files, smtp, delivery):
        monkeypatch.setattr(module, "settings", lambda: chosen)


class FakeTransport:
    """Keeps the mails it gets; `reply(mail)` decides about each."""

    def __init__(self):
        self.got, self.sessions, self.is_up = [], 0, True
        self.reply = lambda mail: SENT

    @contextmanager
    def __call__(self):
        self.sessions += 1
        yield self

    def connect(self):
        if not self.is_up:
            raise mail.ServerUnavailable("the mail server is not usable")

    def send(self, mail):
        self.connect()
        self.got.append(mail)
        return self.reply(mail)
