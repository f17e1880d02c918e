"""Files as spreadsheet programs write them: encodings and separators, and no guesses."""

import pytest

from services.products.spreadsheet import decode, read_rows

TEXT = "handle;title\nmug;Größe\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_utf_8_and_utf_16_are_recognized(encoding):
    assert decode(TEXT.encode(encoding)) == TEXT


def test_another_encoding_is_refused_by_its_line_unless_it_is_named():
    data = TEXT.encode("windows-1252")
    with pytest.raises(ValueError, match=r"^line 2 is not UTF-8 \(byte 19\).*--encoding windows-1252$"):
        decode(data)
    assert decode(data, "windows-1252") == TEXT
    with pytest.raises(ValueError, match="line 2 is not ASCII"):
        decode(data, "ascii")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_separator_is_the_one_of_the_known_columns(separator, newline):
    lines = [["Handle", "a,b;c|d\te", "Title"], ["mug", "", "Mug; 2, large"]]
    text = newline.join(separator.join(f'"{cell}"' for cell in line) for line in lines)
    assert list(read_rows(text, {"handle", "title"})) == [(1, lines[0]), (2, lines[1])]


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", "SEP=;\n"])
def test_a_first_line_may_name_the_separator(first):
    assert list(read_rows(first + "a;b\nc;d", {"x"})) == [(2, ["a", "b"]), (3, ["c", "d"])]


def test_blank_lines_may_come_before_the_header():
    assert list(read_rows("\r\n\r\nHandle;Title\r\nmug;Mug", {"handle"})) == [
        (3, ["Handle", "Title"]),
        (4, ["mug", "Mug"]),
    ]


def test_a_cell_of_any_size_is_one_cell():
    (_, (line, cells)) = read_rows(f'handle\n"{"x" * 200_000}\n"', {"handle"})
    assert (line, len(cells[0])) == (2, 200_001)
