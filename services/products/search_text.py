"""Words of products and of queries: how text is folded and split, what an index holds, and how well a product matches.

"Émile's mugs"  ->  words    emiles mugs, and the singulars emile mug
                    prefixes em emi emil emile emiles mu mug mugs
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from chassis.store import Doc

MAX_WORDS, MAX_WORD_CHARS = 200, 64
"""Words of one product that are indexed, and the letters of each."""
MIN_PREFIX_CHARS, MAX_PREFIX_CHARS = 2, 12
"""Letters of an indexed prefix."""
_APOSTROPHES = str.maketrans("", "", "'\u2019\u02bc")
_SINGULARS = (("ies", ("y", "ie")), ("ves", ("f", "fe", "ve")), *((f"{end}es", (end, f"{end}e")) for end in
              ("ch", "sh", "ss", "x", "z", "o")), ("s", ("",)))  # fmt: skip
"""The end of a plural -> the ends that its singular may have."""
_NO_PLURALS = ("ss", "us", "is")

_NAME, _CATEGORY, _DESCRIPTION = 4, 2, 1
_EXACT, _PREFIX, _CORRECTED = 4, 3, 2


def fold(text: str) -> str:
    """Return the text without case, accents and apostrophes."""
    if not text.isascii():
        text = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return text.casefold().translate(_APOSTROPHES)


def split(*texts: str) -> list[str]:
    """Return the folded words of the texts, each once."""
    found = re.findall(r"\w+", fold(" ".join(texts)))
    return list(dict.fromkeys(word[:MAX_WORD_CHARS] for word in found))


def singulars(word: str) -> list[str]:
    """Return the singulars that an English plural may have; none if the word is no plural."""
    if len(word) > 3 and not word.endswith(_NO_PLURALS):
        for end, singular_ends in _SINGULARS:
            if word.endswith(end):
                return [word[: -len(end)] + each for each in singular_ends]
    return []


def indexed_words(words: Sequence[str]) -> list[str]:
    """Return the words with the singulars of plurals, so that a search for one mug finds mugs."""
    found = dict.fromkeys(words[:MAX_WORDS])
    for word in words[:MAX_WORDS]:
        found |= dict.fromkeys(singulars(word))
    return list(found)


def indexed_prefixes(words: Iterable[str]) -> list[str]:
    """Return the first letters of the words (edge n-grams); those of a whole word are among them."""
    return list(
        dict.fromkeys(
            word[:length] for word in words for length in range(MIN_PREFIX_CHARS, min(len(word), MAX_PREFIX_CHARS) + 1)
        )
    )


def score(product: Doc, words: Sequence[str], corrected: frozenset[str]) -> int:
    """Return how well a product that was found matches these words; `corrected` are not as the shopper typed them."""
    name, category = name_words(product), _category_words(product)
    return sum(_word_score(word, name, category, word in corrected) for word in words)


def name_words(product: Doc) -> list[str]:
    """Return the words of the name, from its folded form in the name key."""
    return _words_of(product["nameKey"].partition("\x01")[0])


def _category_words(product: Doc) -> list[str]:
    texts = (product["category"], product["vendor"], *product["tags"])
    return [word for text in texts for word in _words_of(text)]


@lru_cache(maxsize=4096)
def _words_of(text: str) -> list[str]:
    return split(text)


def _word_score(word: str, name: list[str], category: list[str], is_corrected: bool) -> int:
    exact = _CORRECTED if is_corrected else _EXACT
    for weight, words in ((_NAME, name), (_CATEGORY, category)):
        if word in words:
            return weight * exact
        if any(each.startswith(word) for each in words):
            return weight * min(exact, _PREFIX)
    return _DESCRIPTION * exact
