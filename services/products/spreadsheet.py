"""CSV files as shops and spreadsheet programs write them: which encoding, which separator, which row on which line."""

import csv
import io
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Iterator

SEPARATORS = ",;\t|"
_MARKS = {BOM_UTF8: "utf-8-sig", BOM_UTF16_LE: "utf-16", BOM_UTF16_BE: "utf-16"}

Row = tuple[int, list[str] | str]
"""The line on which a row starts, and its cells, or the reason why it cannot be read."""


def decode(data: bytes, encoding: str = "") -> str:
    """Return the text of a file. Without an encoding it is UTF-8, or UTF-16 by its first bytes; nothing is guessed.

    Raises ValueError, which names the line that has another encoding.
    """
    found = encoding or _marked_encoding(data)
    try:
        return data.decode(found).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} is not {found.removesuffix('-sig').upper()} (byte {error.start}): save the file as UTF-8,"
            " or name its encoding, such as --encoding windows-1252"
        ) from None


def _marked_encoding(data: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return encoding
    zeros = data[:1] == b"\0", data[1:2] == b"\0"
    return {(False, True): "utf-16-le", (True, False): "utf-16-be"}.get(zeros, "utf-8")


def read_rows(text: str, known_columns: Collection[str]) -> Iterator[Row]:
    """Yield each row that is not blank, the header first.

    The separator is the one with which the header has most of the known columns, whose names are in lower case.
    """
    first, _, rest = text.partition("\n")
    named = re.fullmatch(r"sep=([,;\t|])\r?", first, re.IGNORECASE)  # a first line by which Excel names the separator
    if named:
        yield from _read(rest, named[1], first_line=2)
    else:
        header = text.lstrip("\r\n").partition("\n")[0]
        yield from _read(text, max(SEPARATORS, key=lambda each: _known(header, each, known_columns)), first_line=1)


def _known(header: str, separator: str, known_columns: Collection[str]) -> int:
    return sum(name.strip('" \r').lower() in known_columns for name in header.split(separator))


def _read(text: str, separator: str, first_line: int) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)  # else a longer cell ends the row in its middle
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        line = first_line + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"cannot be read: {error}"
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells
