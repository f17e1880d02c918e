"""The check of commit subjects."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "check_commit_subject.py"


def check(subjects: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, "-"], input=subjects, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "subject",
    ["relay: release slots before shutdown", "docs: explain `If-Match`", "Merge branch 'main'", "a: " + "b" * 57],
)
def test_subject_in_the_right_form_is_accepted(subject: str) -> None:
    assert check(subject).returncode == 0


@pytest.mark.parametrize(
    "subject",
    ["Release slots", "relay: Release slots", "Relay: release slots", "relay: release slots.", "a: " + "b" * 58],
)
def test_subject_in_another_form_is_rejected(subject: str) -> None:
    done = check(f"relay: release slots\n{subject}\n")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and subject in done.stderr


def test_message_file_is_checked_by_its_first_line(tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_text("# a comment\nrelay: release slots\n\nThe body may be longer than sixty characters.\n")
    assert subprocess.run([sys.executable, SCRIPT, message], check=False).returncode == 0
