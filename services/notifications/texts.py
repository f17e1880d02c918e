"""The texts of notifications and mails in the language of the user, from Jinja templates.

    templates/<language>/<kind>.txt     the subject, as a variable, and the text
    templates/mail.txt, mail.html       the two parts of a mail, with the lines of an order

Texts name the order and never the person: they hold no personal data.
"""

from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from babel.numbers import format_currency
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from chassis.store import Doc

LANGUAGES = ("en", "de")
"""The folders of templates; the first one serves every other language."""
_TOTAL = {"en": "Total", "de": "Summe"}


class Text(NamedTuple):
    """What a notification says."""

    kind: str
    subject: str
    body: str
    language: str


def text(kind: str, language: str, **values: str) -> Text:
    """Return the text of this kind, in another language than asked for if there is no translation."""
    language = language if language in LANGUAGES else LANGUAGES[0]
    module = _templates().get_template(f"{language}/{kind}.txt").make_module(values)
    subject: str = vars(module)["subject"]
    return Text(kind, subject, str(module).strip(), language)


def parts(subject: str, body: str, language: str, receipt: Doc | None = None) -> tuple[str, str]:
    """Return a mail as text and as HTML.

    `receipt` is {lines: [{name, quantity, price}], total, currency}, with decimals.
    """
    values = {
        "subject": subject,
        "body": body,
        "paragraphs": body.split("\n\n"),
        "language": language,
        "total_label": _TOTAL[language],
        "receipt": _formatted(receipt, language) if receipt else None,
    }
    templates = _templates()
    return templates.get_template("mail.txt").render(values), templates.get_template("mail.html").render(values)


def _formatted(receipt: Doc, language: str) -> dict[str, Any]:
    def amount(value: Decimal) -> str:
        return format_currency(value, receipt["currency"], locale=language)

    lines = [{**line, "amount": amount(Decimal(line["price"]) * line["quantity"])} for line in receipt["lines"]]
    return {"lines": lines, "total": amount(Decimal(receipt["total"]))}


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader(__package__),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
