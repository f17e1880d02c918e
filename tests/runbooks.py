"""The commands of docs/operations: every line of a shell block, and every command in the text."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "operations"
TOOLS = ("mercato", "kubectl", "helm", "make", "docker", "kill", "grep", "upgrade")
NAMES = [["mercato"], ["mercato", "user"], ["mercato", "user", "promote"], ["mercato", "user", "reset"], ["kill"]]
"""Commands that a text names without what they need."""
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"\s+# .*$")
_ASSIGNMENT = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True)
class Written:
    """A command as it is written on a page, without its comment; names in capitals stand for something."""

    page: str
    text: str

    @property
    def stages(self) -> list[list[str]]:
        """The words of each stage of the pipeline."""
        stages: list[list[str]] = [[]]
        for word in shlex.split(self.text):
            stages.append([]) if word == "|" else stages[-1].append(word)
        return stages

    @property
    def tool(self) -> str:
        return self.stages[0][0]

    @property
    def is_name(self) -> bool:
        """Whether the text names a command, such as `helm upgrade`, and does not say how to run it."""
        words = self.stages[0]
        has_operands = any(each.startswith("-") or each.isupper() or "/" in each for each in words)
        return not has_operands and (words[0] in ("kubectl", "helm", "docker") or words in NAMES)

    @property
    def local(self) -> str:
        """The command for one machine: what `kubectl exec` runs in a pod, else the text itself."""
        first, *rest = self.stages
        if "exec" not in first or "--" not in first:
            return self.text
        return " | ".join([shlex.join(first[first.index("--") + 1 :]), *map(shlex.join, rest)])


def commands() -> list[Written]:
    """Return every command of every page, once for each page."""
    found = [each for page in sorted(PAGES.glob("*.md")) for each in commands_of(page)]
    return list(dict.fromkeys(found))


def commands_of(page: Path) -> Iterator[Written]:
    """Yield the commands of one page."""
    text = page.read_text(encoding="utf-8")
    for language, block in _BLOCK.findall(text):
        if language in ("", "bash"):
            yield from (
                Written(page.stem, _COMMENT.sub("", line).strip()) for line in block.splitlines() if line.strip()
            )
    for span in re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text)):
        words = span.split()
        while len(words) > 1 and _ASSIGNMENT.match(words[0]):
            words.pop(0)
        if words[0] in TOOLS:
            yield Written(page.stem, span)
