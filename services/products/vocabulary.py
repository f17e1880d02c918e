"""The words of the catalog, and the correction of words that it does not have.

    vocabulary         {_id: "lantern", addedAt}
    vocabulary_state   {_id: "rebuild", rebuiltAt, until}

A product's words are stored before the product, so no word is missing. The rebuild adds those of products that a
release without a vocabulary stored, and drops those that no product has any more.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from chassis import clock
from chassis.store import Collection, Duplicate, Index, migration
from services.products import domain, repository

words = Collection("vocabulary", Index("addedAt"))
state = Collection("vocabulary_state")

MIN_CHARS, MAX_CHARS = 3, 24
"""Letters of a word that can be corrected."""
LONG_WORD_CHARS = 8
"""Letters from which a word may have two typos; a shorter one may have one."""
MAX_CORRECTIONS = 3
"""Corrections of one word that are tried, the closest first."""
DROP_AFTER_S = 24 * 3600.0
"""Seconds after which the rebuild drops a word that no product has: by then its product is stored."""
REBUILD_AFTER_S, LEASE_S = 24 * 3600.0, 600.0
_OVERLAP_S = 60.0
"""Clocks of other processes may be this far behind."""


class _Known:
    """The words that this process has read or written, by their length."""

    def __init__(self) -> None:
        self.by_length: dict[int, dict[str, None]] = defaultdict(dict)
        self.read_until = ""

    def __contains__(self, word: str) -> bool:
        return word in self.by_length[len(word)]

    def add(self, word: str) -> None:
        self.by_length[len(word)][word] = None

    def refresh(self) -> None:
        """Read the words that were added since the last time."""
        now = clock.timestamp_ago(_OVERLAP_S)
        for word in words.iterate({"addedAt": {"$gte": self.read_until}}):
            self.add(word["_id"])
        self.read_until = now


_known = _Known()


def forget() -> None:
    """Read the vocabulary anew when it is needed next."""
    global _known
    _known = _Known()


def add(texts: Sequence[str]) -> None:
    """Store the words that the vocabulary lacks."""
    missing = [word for word in texts if is_correctable(word) and word not in _known]
    if not missing:
        return
    found = {doc["_id"] for doc in words.find({"_id": {"$in": missing}}, limit=len(missing))}
    for word in missing:
        if word not in found:
            try:
                words.insert({"_id": word, "addedAt": clock.timestamp()})
            except Duplicate:  # another process was faster
                pass
        _known.add(word)


def is_correctable(word: str) -> bool:
    """Return whether the vocabulary may have this word: numbers and codes are not corrected."""
    return MIN_CHARS <= len(word) <= MAX_CHARS and word.isalpha()


def corrections(word: str) -> list[str]:
    """Return up to MAX_CORRECTIONS words that the shopper may have meant, the closest first.

    The distance is that of Damerau and Levenshtein: a letter too many, too few, wrong, or two that are swapped.
    """
    if not is_correctable(word):
        return []
    from rapidfuzz import process  # 6 MB that a process needs only for the first correction
    from rapidfuzz.distance import DamerauLevenshtein

    _known.refresh()
    bound = 2 if len(word) >= LONG_WORD_CHARS else 1
    close: list[tuple[int, bool, str]] = []
    for length in range(len(word) - bound, len(word) + bound + 1):
        candidates = list(_known.by_length.get(length, ()))
        close += (
            (int(distance), found[0] != word[0], found)
            for found, distance, _ in process.extract(
                word, candidates, scorer=DamerauLevenshtein.distance, score_cutoff=bound, limit=None
            )
        )
    return [found for _, _, found in sorted(close)[:MAX_CORRECTIONS]]


def rebuild() -> None:
    """Add the words of all products, and drop those that no product has."""
    forget()
    too_new = clock.timestamp_ago(DROP_AFTER_S)
    used: set[str] = set()
    for product in repository.products.iterate({"deleted": False}):
        try:
            of_product = domain.Details.of(product).words()
        except (KeyError, TypeError):  # a damaged document, which the migration logs
            continue
        used.update(of_product)
        add(of_product)
    for word in words.iterate({"addedAt": {"$lt": too_new}}):
        if word["_id"] not in used:
            words.delete(word["_id"])
    forget()


def rebuild_if_due() -> bool:
    """Rebuild daily, and soon after a migration that rewrote products; return whether this process did it.

    One process does it at a time.
    """
    try:
        state.insert({"_id": "rebuild", "rebuiltAt": "", "until": ""})
    except Duplicate:
        pass
    found = state.get("rebuild") or {}
    now = clock.timestamp()
    if found["rebuiltAt"] > max(clock.timestamp_ago(REBUILD_AFTER_S), *_migrated_at()) or found["until"] > now:
        return False
    if state.update("rebuild", {"$set": {"until": clock.timestamp_in(LEASE_S)}}, when={"until": found["until"]}):
        rebuild()
        state.update("rebuild", {"$set": {"rebuiltAt": now, "until": ""}})
        return True
    return False


def _migrated_at() -> Iterator[str]:
    """Yield when the last pass over the products ended, if it rewrote some."""
    record = migration.records.get(repository.products.name)
    yield record["finishedAt"] if record and record["rewritten"] else ""
