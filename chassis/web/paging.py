"""Lists, a page at a time. Cursors are signed, so that the store only ever sees one that this service gave out."""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import orjson
from pydantic import BeforeValidator, Field

from chassis.errors import InvalidInput
from chassis.keyed_hash import keyed_hash, keyed_hashes
from chassis.schema import QueryParams, Schema
from chassis.store import Collection, Cursor, Doc, Filter, cursor_after

_SIGNATURE_BYTES = 12

Item = TypeVar("Item", bound=Schema)


def _digits(text: object) -> object:
    """Accept digits alone: Python would read " 5", "5.0" and "1_0", too."""
    if isinstance(text, str) and not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError("must be a whole number")
    return text


class PageQuery(QueryParams):
    """Query parameters of every list."""

    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_digits)] = 20
    cursor: Annotated[str, Field(max_length=1000)] = ""


class Page(Schema, Generic[Item]):
    """One page of a list; without `nextCursor`, it is the last."""

    items: list[Item]
    next_cursor: str | None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}Page"


def find_page(
    collection: Collection, where: Filter, query: PageQuery, sort: str = "_id"
) -> tuple[list[Doc], str | None]:
    """Return one page and the cursor of the next. Raises InvalidInput for a cursor that this list did not give out."""
    scope = [collection.name, where, sort]
    after: Cursor | None = tuple(found) if (found := read_cursor(query.cursor, scope)) else None
    docs = collection.find(where, sort=sort, limit=query.limit + 1, after=after)
    if len(docs) <= query.limit:
        return docs, None
    docs = docs[: query.limit]
    return docs, write_cursor(cursor_after(docs, sort), scope)


def write_cursor(value: Sequence[Any], scope: Any) -> str:
    """Return the signed cursor of a place in a list; `scope` is JSON data that says which list it is."""
    payload = orjson.dumps(value)
    signature = keyed_hash(_signed(payload, scope))[:_SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(signature + payload).decode().rstrip("=")


def read_cursor(cursor: str, scope: Any) -> list[Any] | None:
    """Return the value of a cursor; None if it is empty. Raises InvalidInput if another list gave it out, or none."""
    if not cursor:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    accepted = (each[:_SIGNATURE_BYTES] for each in keyed_hashes(_signed(payload, scope)))
    if not any(hmac.compare_digest(signature, each) for each in accepted):
        raise InvalidInput(("cursor", "is not one that this list gave out"))
    value: list[Any] = orjson.loads(payload)
    return value


def _signed(payload: bytes, scope: Any) -> bytes:
    return b"cursor" + hashlib.sha256(orjson.dumps(scope, option=orjson.OPT_SORT_KEYS)).digest() + payload
