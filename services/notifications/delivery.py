"""The job that mails notifications and account mails: each at least once, and seen twice only if a reply was lost.

    pending ─► sent
       │  4xx, or the connection was lost: after 10 s, then twice as long each time, up to an hour; for a day
       └─► failed         5xx at once, and whatever was not taken for a day

A worker claims a mail before it sends it, so that no other one does at the same time. If the reply to a whole mail is
lost, SMTP cannot tell whether it was taken: it is sent again under its Message-ID, five times at most.
While the mail server cannot be reached, no mail fails: all wait.
"""

from collections.abc import Callable
from urllib.parse import urlencode

from chassis import clock
from chassis.errors import TransientError
from chassis.events.set_aside import SetAside
from chassis.observe.log import log
from chassis.store import Collection, Doc, Update, merge_updates
from services.notifications import domain, mail, metrics, repository, texts
from services.notifications.mail import Outcome, Reply, Transport
from services.notifications.settings import settings

FIRST_RETRY_S, MAX_RETRY_S = 10.0, 3600.0
GIVE_UP_AFTER_S = 24 * 3600.0
CLAIM_S = 120.0
"""Longer than one mail can take; a mail of a worker that was killed is sent again after this time."""
MAX_UNKNOWN = 5
UNSUBSCRIBED = Reply(Outcome.REFUSED, 0, "the user wants no more mails that advertise")
NO_ADDRESS = Reply(Outcome.REFUSED, 0, "no address of the user became known for a day")
BOUNCED_BEFORE = Reply(Outcome.REFUSED, 0, "the address bounced before; it gets no mail until it changes")

_mails = SetAside("send_mail")


def send_mail() -> None:
    """Send the pending mails that are due, at most `MAILS_PER_S`, over one connection. Raises ServerUnavailable."""
    due = {"mailPending": True, "retryAt": {"$lt": clock.timestamp()}}
    if not any(each.find(due, limit=1) for each in (repository.account_mails, repository.notifications)):
        return
    with mail.transport() as transport:
        try:
            transport.connect()
        except TransientError:
            metrics.count("unavailable")
            raise
        left = max(1, round(settings().mails_per_s))  # the job runs once a second
        for collection, address_of in _SOURCES:
            sender = _Sender(collection, address_of, transport)
            left -= _mails.work_through(collection, due, sender.send, sort="retryAt", limit=left)


def _address_of_notification(notification: Doc) -> str:
    return str((repository.recipients.get(notification["userId"]) or {}).get("email", ""))


_SOURCES: tuple[tuple[Collection, Callable[[Doc], str]], ...] = (
    (repository.account_mails, lambda account_mail: str(account_mail["address"])),
    (repository.notifications, _address_of_notification),
)


class _Sender:
    """Sends the mails of one collection."""

    def __init__(self, collection: Collection, address_of: Callable[[Doc], str], transport: Transport) -> None:
        self._collection, self._address_of, self._transport = collection, address_of, transport

    def send(self, doc: Doc) -> None:
        address = self._address_of(doc)
        if not address:
            self._wait_for_address(doc)
            return
        if doc.get("kind") in domain.ADVERTISING and not repository.wants_advertising(doc["userId"]):
            self._suppress(doc, UNSUBSCRIBED)
            return
        if repository.is_suppressed(doc["userId"], address):
            self._suppress(doc, BOUNCED_BEFORE)
            return
        claimed = self._claim(doc)
        if claimed is None:
            return  # another worker was faster
        reply = self._transport.send(_to_mail(claimed, address))
        metrics.count(reply.outcome)
        match reply.outcome:
            case Outcome.SENT:
                repository.mark_sent(self._collection, claimed)
            case Outcome.REFUSED:
                self._fail(claimed, reply)
            case Outcome.BOUNCED:
                repository.suppress(claimed["userId"], address, reply.code, reply.text)
                self._fail(claimed, reply)
            case Outcome.DEFERRED if _age_s(claimed) < GIVE_UP_AFTER_S:
                self._retry(claimed, reply, _wait_s(claimed["mailAttempts"]), known=True)
            case Outcome.UNKNOWN if claimed["unknownOutcomes"] < MAX_UNKNOWN:
                self._retry(claimed, reply, _wait_s(claimed["mailAttempts"]))
            case _:
                metrics.count("given_up")
                self._fail(claimed, reply)

    def _claim(self, doc: Doc) -> Doc | None:
        """Take a mail for some time, and count the attempt as one of unknown outcome until it is known."""
        claim: Update = {
            "$set": {"retryAt": clock.timestamp_in(CLAIM_S)},
            "$inc": {"mailAttempts": 1, "unknownOutcomes": 1},
        }
        return self._collection.update(doc["_id"], claim, when={"mailPending": True, "retryAt": doc["retryAt"]})

    def _wait_for_address(self, doc: Doc) -> None:
        """Wait without a warning, for a day: `user.created` may arrive after the event of an order."""
        if _age_s(doc) < GIVE_UP_AFTER_S:
            self._collection.update(doc["_id"], {"$set": {"retryAt": clock.timestamp_in(FIRST_RETRY_S)}})
        else:
            self._fail(doc, NO_ADDRESS)

    def _retry(self, doc: Doc, reply: Reply, wait_s: float, known: bool = False) -> None:
        log.warning("mail not sent; retrying", mailId=doc["_id"], code=reply.code, text=reply.text, retryInS=wait_s)
        later: Update = {"$set": {"retryAt": clock.timestamp_in(wait_s)}}
        counted: Update = {"$inc": {"unknownOutcomes": -1}} if known else {}
        self._collection.update(doc["_id"], merge_updates(later, counted))

    def _fail(self, doc: Doc, reply: Reply) -> None:
        log.error("mail failed", mailId=doc["_id"], code=reply.code, text=reply.text)
        repository.mark_failed(self._collection, doc, reply.code, reply.text)

    def _suppress(self, doc: Doc, why: Reply) -> None:
        log.info("mail suppressed", mailId=doc["_id"], text=why.text)
        metrics.count("suppressed")
        repository.mark_failed(self._collection, doc, why.code, why.text)


def _to_mail(doc: Doc, address: str) -> mail.Mail:
    language = doc.get("language", texts.LANGUAGES[0])  # release 0.2.0 stored none
    text, html = texts.parts(doc["subject"], doc["body"], language, doc.get("receipt"))
    created_at = doc.get("createdAt", clock.timestamp())
    return mail.Mail(
        doc["_id"], doc["userId"], address, doc["subject"], text, html, language, created_at, _unsubscribe_url(doc)
    )


def _unsubscribe_url(doc: Doc) -> str:
    if "unsubscribeSecret" not in doc:
        return ""
    token = urlencode({"token": f"{doc['_id']}.{doc['unsubscribeSecret']}"})
    return f"{settings().public_url.rstrip('/')}/api/notifications/unsubscribe?{token}"


def _wait_s(attempts: int) -> float:
    """Return the wait after this many attempts; 30 attempts exceed any limit."""
    return min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 30), MAX_RETRY_S)


def _age_s(doc: Doc) -> float:
    return clock.seconds_since(doc["createdAt"]) if "createdAt" in doc else 0.0
