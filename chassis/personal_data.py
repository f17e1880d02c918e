"""Personal data: which documents of a service are about a person, and the command that returns them.

A service declares the command among its messages, and what it returns in service.py:

    class ExportUser(ExportQuery, callers=("users",), read_only=True):
        \"\"\"Return what this service keeps about a user.\"\"\"

    service.exports(PersonalData(repository.payments, "userId", "orderId", "amount", "createdAt"), query=ExportUser)

Only the named fields leave the service: an outbox, a hash or a token is never part of an export by accident.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import StringConstraints

from chassis.messages import Command
from chassis.schema import Id, Schema
from chassis.store import Collection, Doc

PAGE_SIZE = 100
"""Documents of one reply."""


class PersonalData:
    """The documents of a collection whose field `key` holds the id of a person, and the fields of them to export."""

    def __init__(self, collection: Collection, key: str, *fields: str) -> None:
        self.collection, self.key, self.fields = collection, key, fields

    def view(self, document: Doc) -> Doc:
        """Return what is exported of a document; a field that it lacks is left out."""
        return {"id": document["_id"], **{name: document[name] for name in self.fields if name in document}}


class ExportedDocument(Schema):
    """A document about a person, and the collection that it is from."""

    collection: str
    document: dict[str, Any]


class ExportQuery(Command, read_only=True, timeout_s=2.0):
    """Return the next documents about a person. `after` is empty in the first query and in the last reply."""

    user_id: Id
    after: Annotated[str, StringConstraints(pattern=r"^([0-9]{1,3}:[^:]+)?$")] = ""

    class Reply(Schema):
        documents: list[ExportedDocument]
        after: str


def export_page(exported: Sequence[PersonalData], query: ExportQuery) -> ExportQuery.Reply:
    """Answer a query about these documents; `after` is "<position in `exported`>:<id of the last document>"."""
    start, _, last = query.after.partition(":")
    for position in range(int(start or 0), len(exported)):
        personal = exported[position]
        after = (last, last) if last else None
        found = personal.collection.find({personal.key: query.user_id}, limit=PAGE_SIZE, after=after)
        if found:
            name = personal.collection.name
            documents = [ExportedDocument(collection=name, document=personal.view(each)) for each in found]
            return ExportQuery.Reply(documents=documents, after=f"{position}:{found[-1]['_id']}")
        last = ""
    return ExportQuery.Reply(documents=[], after="")
