"""What commands print: no id is cut, data controls nothing, times are read exactly."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercato.cli.output import Duration, duration, print_rows
from tests.runbooks import ROOT

ID = "01KB0000000000000000000042"
ROW = {"id": ID, "step": "undo reserve stock", "reason": "a long explanation of what went wrong " * 5, "key": ID[::-1]}


def on_terminal(columns: int, **environment: str) -> str:
    """Return what a table of ROW looks like on a terminal of so many columns."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    script = f"from mercato.cli.output import print_rows; print_rows([{ROW!r}], False, 'Rows')"
    given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    try:
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            stdout=theirs,
            env=given | {"TERM": "xterm"} | environment,
            check=True,
        )
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_terminal_of_80_columns_gets_whole_ids_and_folded_texts() -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(80))
    lines = shown.splitlines()
    assert sum(ID in line for line in lines) == sum(ID[::-1] in line for line in lines) == 1
    assert "…" not in shown and shown.count("explanation") == 5
    assert max(len(line) for line in lines) <= 90, "texts are folded"


def test_color_is_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b[" in on_terminal(80)
    print_rows([ROW], False, "Rows")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert len([line for line in printed.splitlines() if "explanation" in line]) == 1, "a row is a line"


def test_data_neither_styles_a_table_nor_controls_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"reason": "[bold]x[/] [/none] \x1b[31m\x07\r\n\u202e"}], False, "Rows")
    printed = capsys.readouterr().out
    assert r"[bold]x[/] [/none] \x1b[31m\x07\r\n\u202e" in printed


@given(
    st.integers(0, 10**9 - 1), st.sampled_from([("", 1), ("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86400)])
)
def test_time_is_its_number_in_its_unit(number: int, unit: tuple[str, int]) -> None:
    assert Duration().convert(f"{number}{unit[0]}", None, None) == number * unit[1]


@given(st.text(max_size=8))
def test_any_other_time_is_rejected(text: str) -> None:
    try:
        found = Duration().convert(text, None, None)
    except click.BadParameter:
        return
    assert found >= 0 and text.rstrip("smindh").isascii() and text.rstrip("smindh").isdecimal()


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-1, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (200_000, "2 d")]
)
def test_duration_is_shown_in_its_largest_unit(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
