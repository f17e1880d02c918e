"""The language of a page, and money, dates and texts in it. A language is a file: `translations/LANGUAGE.po`."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from babel.dates import format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_currency
from flask import request

SOURCE = "en"
"""The language of the texts in the code."""
_FILES = Path(__file__).with_name("translations")
_MAX_AMOUNTS = 10_000
Translate = Callable[..., str]


@cache
def languages() -> tuple[str, ...]:
    return SOURCE, *sorted(file.stem for file in _FILES.glob("*.po"))


def language() -> str:
    """Return the language that the browser likes best of those there are; a region, as in de-AT, is left out."""
    wanted = (tag.partition("-")[0].lower() for tag, quality in request.accept_languages if quality)
    return next((each for each in wanted if each in languages()), SOURCE)


@cache
def translator(language: str) -> Translate:
    """Return the function that translates a text, and fills in its {names}."""
    texts = _read(language)

    def translate(text: str, /, **values: Any) -> str:
        found = texts.get(text) or text
        return found.format_map(values) if values else found

    return translate


def money(amount: str, currency: str) -> str:
    """Return a decimal amount as people write it."""
    return _money(amount, currency, language())


def moment(timestamp: str) -> str:
    """Return an RFC 3339 timestamp as date and time in UTC."""
    return format_datetime(datetime.fromisoformat(timestamp), "medium", locale=language()) + " UTC"


@lru_cache(_MAX_AMOUNTS)
def _money(amount: str, currency: str, language: str) -> str:
    return str(format_currency(Decimal(amount), currency, locale=language))


def _read(language: str) -> dict[str, str]:
    if language == SOURCE:
        return {}
    with (_FILES / f"{language}.po").open("rb") as file:
        return {str(each.id): str(each.string) for each in read_po(file, locale=language) if each.id and each.string}
