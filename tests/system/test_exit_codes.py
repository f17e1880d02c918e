"""The exit codes of commands are those of docs/operations/commands.md."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.runbooks import PAGES
from tests.system.platform import Client, Shop
from tests.system.runbook import Commands
from tests.system.running import Platform

pytestmark = pytest.mark.embedded  # one case breaks a file of a store

TABLE = re.findall(r"^\| `mercato ([\w -]+)` \| (\d) \|", (PAGES / "commands.md").read_text(), re.MULTILINE)
ELSEWHERE = {
    ("audit", "1"): "tests/system/test_audit.py",
    ("replay", "1"): "tests/system/test_runbooks_accounts.py",
    ("demo", "1"): "tests/system/test_demo.py",
    ("contracts --check", "1"): "tests/contract/test_contracts.py",
    ("settings --check", "1"): "tests/unit/test_settings_reference.py",
}
"""Cases that need more than a command: the file that has them."""


def test_done_is_0_wrong_use_is_2_and_says_what_is_right(shop: Shop, mercato: Commands) -> None:
    for words in (["sagas", "list"], ["dlq", "list"], ["outbox"], ["user", "list"], ["sagas", "--help"]):
        assert mercato.run(shop, *words)[0] == 0, words
    wrong = (["teleport"], ["sagas", "list", "--olderthan", "5m"], ["sagas", "list", "--older-than", "5 minutes"])
    for words in (
        *wrong,
        ["sagas", "list", "--step", "take paiment"],
        ["sagas", "skip", "x"],
        ["outbox", "--retry", "x"],
    ):
        code, output, errors = mercato.run(shop, *words)
        assert (code, output) == (2, ""), words
        assert errors.startswith("Usage: mercato ") and "Error: " in errors and "Traceback" not in errors
    assert "take payment" in mercato.run(shop, "sagas", "list", "--step", "take paiment")[2]


def test_failure_is_1_with_one_line(shop: Shop, mercato: Commands) -> None:
    for words in (["sagas", "show", "none"], ["dlq", "show", "orders", "none"], ["outbox", "--service", "none"]):
        code, output, errors = mercato.run(shop, *words)
        assert (code, output, errors.count("\n")) == (1, "", 1), (words, errors)


@pytest.mark.parametrize(("command", "code"), TABLE)
def test_code_of_the_table(
    command: str, code: str, shop: Shop, mercato: Commands, buyer: Client, tmp_path: Path
) -> None:
    if file := ELSEWHERE.get((command, code)):
        name = command.split()[0]
        assert name in (Path(__file__).parents[2] / file).read_text()
        return
    if command == "migrate":
        assert code_of_migration(shop, mercato) == int(code)
        return
    nothing = Platform(tmp_path)
    (tmp_path / "wrong.csv").write_text("Handle,Title\n")
    cases: dict[tuple[str, str], tuple[Any, ...]] = {
        ("status", "1"): (nothing, "status"),
        ("audit", "2"): (nothing, "audit", "orders"),
        ("sagas retry", "1"): (shop, "sagas", "retry", "none", "--reason", "a test"),
        ("import", "1"): (shop, "import", "products", str(tmp_path / "wrong.csv")),
        ("user", "3"): (shop, "user", "reset", buyer.id),
    }
    if command == "user":
        assert mercato.run(shop, "user", "lock", buyer.id)[0] == 0  # for a reset, which is refused then
    ended, _, errors = mercato.run(*cases[command, code])
    assert (ended, "Traceback" in errors) == (int(code), False), errors


def code_of_migration(shop: Shop, mercato: Commands) -> int:
    """Return the exit code for a stored product that no release can have written."""
    with closing(sqlite3.connect(shop.data / "store" / "products.db", timeout=10, isolation_level=None)) as db:
        db.execute("""INSERT INTO products (id, doc) VALUES ('broken', '{"_id": "broken"}')""")
        try:
            return mercato.run(shop, "migrate", "products")[0]
        finally:
            db.execute("DELETE FROM products WHERE id = 'broken'")
