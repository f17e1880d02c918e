"""Every page of the documentation: links resolve, pages are reachable, decision pages have date and status."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.run import BUDGET, PLANS

ROOT = Path(__file__).parents[2]
SKIPPED = {".venv", ".mercato", "node_modules"}
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not any(part in SKIPPED or part.endswith("_cache") for part in path.parts)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def links_of(page: Path) -> list[str]:
    """The targets of a page's links, without those of code blocks and other sites."""
    targets = LINK.findall(CODE_BLOCK.sub("", page.read_text()))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@cache
def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", CODE_BLOCK.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    for target in links_of(page):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{target}: no such file"
        if anchor and path.suffix == ".md":
            assert anchor in anchors_of(path), f"{target}: no such heading"


def test_every_page_is_reachable_from_the_readme() -> None:
    reached, open_pages = set(), [ROOT / "README.md"]
    while open_pages:
        page = open_pages.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        names = (target.partition("#")[0] for target in links_of(page))
        open_pages += [(page.parent / name).resolve() for name in names if name]
    of_the_project = {page for page in PAGES if ROOT / ".github" not in page.parents}
    assert not {str(page.relative_to(ROOT)) for page in of_the_project - reached}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_decision_has_number_date_and_status_and_is_in_the_index(page: Path) -> None:
    text = page.read_text()
    number, title = re.match(r"# (\d{3}) (.+)\n", text).groups()
    assert page.name.startswith(f"{number}-")
    stated = re.search(r"^Date: (\d{4}-\d{2}-\d{2}) · Status: (Accepted|Superseded by .+)$", text, re.MULTILINE)
    assert stated, "no line with date and status"
    index = (page.parent / "README.md").read_text()
    assert f"| [{number}]({page.name}) | {title} | {stated[1]} | {stated[2]} |" in index


def test_contributing_has_a_budget_for_every_stage_of_ci() -> None:
    listed = [name for name, _ in BUDGET.findall((ROOT / "CONTRIBUTING.md").read_text())]
    stages = {stage for group in PLANS["ci"] for lane in group for stage in lane}
    assert sorted(listed) == sorted(stages)
