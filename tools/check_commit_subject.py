"""Check the subject lines of commits: `area: imperative summary`, at most 60 characters.

tools/check_commit_subject.py .git/COMMIT_EDITMSG     the commit-msg hook
git log --format=%s main.. | tools/check_commit_subject.py -     one subject per line, as CI does
"""

import re
import sys
from pathlib import Path

MAX_CHARACTERS = 60
SUBJECT = re.compile(r"[a-z0-9][a-z0-9_.,/ -]*: [a-z].*[^.\s]")
GENERATED = ("Merge ", "Revert ", "fixup! ", "squash! ")


def find_problem(subject: str) -> str | None:
    """Return what is wrong with a subject line, or None."""
    if subject.startswith(GENERATED):
        return None
    if len(subject) > MAX_CHARACTERS:
        return f"the subject has {len(subject)} characters; at most {MAX_CHARACTERS} are allowed"
    if not SUBJECT.fullmatch(subject):
        return "the subject must read `area: imperative summary`, in lower case after the colon, without a final period"
    return None


def read_subjects(source: str) -> list[str]:
    """Return the subject of a commit message file, or every line of standard input for `-`."""
    if source == "-":
        return [line for line in sys.stdin.read().splitlines() if line]
    lines = [line for line in Path(source).read_text().splitlines() if not line.startswith("#")]
    return [next((line for line in lines if line.strip()), "")]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(__doc__ or "")
        return 2
    code = 0
    for subject in read_subjects(arguments[0]):
        if problem := find_problem(subject):
            sys.stderr.write(f"{subject!r}: {problem}\n")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
