"""Erasure: deletes what a service keeps about a subject, such as a user, when the event of its deletion arrives.

    {_id: "<subject>", erased: false, erasurePending: false, erasureRequests: 0, last_seq: {"users": 2}, email: ...}

The document of an erased subject stays as a tombstone, without personal data: events that arrive later store nothing.
A job deletes the documents about the subject in other collections. A handler that inserts such a document while the
subject is being erased requests the deletion again, so none is left, wherever a process crashes.

    recipients = Subjects("recipients", "users", "email")

    def on_user_created(event, meta):
        recipients.set_personal(event.user_id, {"email": event.email}, meta)

    def on_user_deleted(event, meta):
        recipients.erase(event.user_id, meta)

    def finish_erasures():
        recipients.finish_erasures(delete_notifications)

    service.schedules(finish_erasures, every_s=1)
"""

from collections.abc import Callable

from chassis.events import inbox
from chassis.events.envelope import Meta
from chassis.events.set_aside import SetAside
from chassis.store import Collection, Doc, Duplicate, Index, Update, merge_updates


class Subjects(Collection):
    """The subjects of another service that a service keeps data about.

    Arguments:
        source: the service whose events create, change and delete the subjects.
        personal_fields: the fields of a subject's document that erasure removes.
    """

    def __init__(self, name: str, source: str, *personal_fields: str) -> None:
        super().__init__(name, Index("erasurePending", partial={"erasurePending": True}))
        self._source, self._personal_fields = source, personal_fields
        self._erasures = SetAside("finish_erasures")

    def add(self, id: str) -> None:
        """Insert a subject without personal data, unless it exists."""
        new = {"_id": id, "erased": False, "erasurePending": False, "erasureRequests": 0}
        try:
            self.insert({**new, **inbox.new_inbox(self._source)})
        except Duplicate:
            pass

    def set_personal(self, id: str, data: Doc, meta: Meta) -> bool:
        """Store the personal data of an event, unless a later one was stored; return False if the subject is erased."""
        self.add(id)
        update = merge_updates({"$set": data}, inbox.mark_applied(meta))
        self.update(id, update, when={"erased": False, **inbox.not_applied(meta)})
        return not self.is_erased(id)

    def is_erased(self, id: str) -> bool:
        """Whether a subject is erased; False if it is not known."""
        doc = self.get(id)
        return doc is not None and bool(doc["erased"])

    def erase(self, id: str, meta: Meta) -> None:
        """Remove the personal data of a subject, and request the deletion of the documents about it."""
        self.add(id)
        erased: Update = {"$set": {"erased": True, "erasurePending": True}, "$inc": {"erasureRequests": 1}}
        personal: Update = {"$unset": dict.fromkeys(self._personal_fields, True)} if self._personal_fields else {}
        self.update(id, merge_updates(erased, personal, inbox.mark_applied(meta)), when=inbox.not_applied(meta))

    def insert_about(self, id: str, collection: Collection, doc: Doc) -> None:
        """Insert a document about a subject, unless the document exists or the subject is erased."""
        if self.is_erased(id):
            self.request_deletion(id)  # an earlier delivery may have crashed between its insert and its request
            return
        try:
            collection.insert(doc)
        except Duplicate:
            pass
        self.request_deletion(id)

    def finish_erasures(self, delete_about: Callable[[str], bool]) -> None:
        """Delete the documents about erased subjects.

        `delete_about` gets the id of a subject, deletes the documents about it, and returns whether none is left.
        """

        def finish(subject: Doc) -> None:
            if delete_about(subject["_id"]):
                requests = {"erasureRequests": subject["erasureRequests"]}
                self.update(subject["_id"], {"$set": {"erasurePending": False}}, when=requests)

        self._erasures.work_through(self, {"erasurePending": True}, finish)

    def request_deletion(self, id: str) -> None:
        """Request the deletion again if the subject is erased: a document may have been inserted after the last one."""
        again: Update = {"$set": {"erasurePending": True}, "$inc": {"erasureRequests": 1}}
        self.update(id, again, when={"erased": True})
