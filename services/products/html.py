"""Conversion of HTML to plain text, with one line for each block."""

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header"
    " hr li main nav ol p pre section table tr ul".split()
)
_INVISIBLE = frozenset("head script style template".split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self._invisible_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._invisible_depth += tag in _INVISIBLE
        self._space(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._space(tag)

    def handle_endtag(self, tag: str) -> None:
        self._invisible_depth = max(0, self._invisible_depth - (tag in _INVISIBLE))
        self._space(tag)

    def handle_data(self, data: str) -> None:
        if not self._invisible_depth:
            self.text.append(re.sub(r"\s+", " ", data))

    def _space(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.text.append("\n")
        elif tag in ("td", "th"):
            self.text.append(" ")


def plain_text(html: str) -> str:
    """Return the visible text of HTML. Raises ValueError if the HTML cannot be parsed."""
    reader = _Reader()
    try:
        reader.feed(html)
        reader.close()
    except AssertionError as error:  # older versions of html.parser raise it for "<![x["
        raise ValueError(f"the HTML cannot be parsed: {error}") from None
    lines = (" ".join(line.split()) for line in "".join(reader.text).split("\n"))
    return "\n".join(line for line in lines if line)
