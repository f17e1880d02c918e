"""The ids of imported products: the handle, and for each further variant its options behind it.

    mug__product   the product mug, if it has options
    mug            the first variant of the product mug
    mug_red        another variant
    mug-red        a product of its own
    mug_re-d-...   a variant whose readable id is taken: with a hash

A handle usually has no underscore, so that the product mug-red differs from the red variant of the product mug.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from chassis.schema import ID

_PARENT = "_product"
_HASH_LENGTH = 12
_MAX_ID_LENGTH = 64


class ProductIds:
    """The ids of one file. A handle has precedence over a variant of another product with the same readable id.

    `variants` are the handle and the options of each row.
    """

    def __init__(self, handles: Iterable[str], variants: Iterable[tuple[str, Sequence[str]]] = ()) -> None:
        self._keys_by_id: dict[str, tuple[str, ...]] = {readable_id(handle): (handle,) for handle in handles}
        self._other_ids = {*self._keys_by_id}
        for handle, options in variants:
            self._other_ids.add(readable_id(handle, [option for option in options if option]))
        self._lines_by_key: dict[tuple[str, ...], tuple[int, str]] = {}

    def take(self, handle: str, options: Sequence[str], is_first: bool, line: int) -> str:
        """Return the id of a variant. Raises ValueError if another line has the same options, whatever their case."""
        key = (handle, *(option.casefold() for option in options))
        id = readable_id(handle) if is_first else self._variant_id(key)
        if key in self._lines_by_key:
            other, id = self._lines_by_key[key]
            raise ValueError(f"is the same product as line {other}: {id}")
        self._lines_by_key[key] = line, id
        return id

    def of_parent(self, handle: str) -> str:
        """Return the id of a product with options: that of no handle and no variant of the file."""
        id = readable_id(handle, (_PARENT,))
        return _with_hash(id, f"{handle}\0{_PARENT}") if id in self._other_ids else id

    def _variant_id(self, key: tuple[str, ...]) -> str:
        handle, *options = key
        id = readable_id(handle, [option for option in options if option])
        if self._keys_by_id.setdefault(id, key) != key:
            return _with_hash(id, "\0".join(key))
        return id


def readable_id(handle: str, options: Sequence[str] = ()) -> str:
    """Return the handle joined with the options; if that is no valid id, a shortened form with a hash."""
    full = "_".join((handle, *(option.casefold().replace(" ", "-") for option in options)))
    return full if ID.fullmatch(full) else _with_hash(full, full)


def _with_hash(text: str, hashed: str) -> str:
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    readable = re.sub("[^a-z0-9_-]+", "-", folded)[: _MAX_ID_LENGTH - _HASH_LENGTH - 1].strip("-_")
    digest = hashlib.sha256(hashed.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{readable}-{digest}" if readable else digest
