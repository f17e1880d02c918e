"""`mercato user`: what an operator sees and does."""

import json

import pytest
from click.testing import CliRunner

from mercato.cli.output import print_rows
from mercato.settings import LauncherSettings
from services.users import application, cli, repository, sessions

PASSWORD = "correct horse battery"
ROOT, ADA = "root@shop.example", "ada@shop.example"


@pytest.fixture(autouse=True)
def _attached(stored_accounts, monkeypatch):
    monkeypatch.setattr(cli, "attach_store", lambda service: service)


@pytest.fixture
def ada():
    application.create("root", ROOT, "Root", PASSWORD, role="admin")
    return application.create("ada", ADA, "Ada Byron", PASSWORD)["_id"]


def run(*arguments, stdin="", code=0):
    result = CliRunner().invoke(cli.user, arguments, stdin, env={"COLUMNS": "40"})
    assert result.exit_code == code, result.output
    return result.output


def make_first(monkeypatch, email, password, code=0):
    given = LauncherSettings.from_environment({"ADMIN_EMAIL": email, "ADMIN_PASSWORD": password})
    monkeypatch.setattr("mercato.settings.settings", lambda: given)
    return run("first-admin", code=code)


def test_list_shows_every_account_that_is_not_erased(ada):
    application.create("gone", "gone@shop.example", "Gone", PASSWORD)
    repository.accounts.update("gone", {"$set": {"erased": True}})
    rows = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [(row["id"], row["email"], row["role"], row["locked"]) for row in rows] == [
        ("ada", ADA, "customer", False),
        ("root", ROOT, "admin", False),
    ]
    assert PASSWORD not in run("list") and "hash" not in run("show", ada)


def test_a_table_cuts_no_id(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    ids = [letter * 64 for letter in "abc"]
    print_rows([{"id": id, "other": f"{id} " * 3, "number": 1} for id in ids], False, "Ids")
    printed = capsys.readouterr().out
    assert all(printed.count(id) == 4 for id in ids) and "…" not in printed


def test_account_is_found_by_the_beginning_of_its_id_if_no_other_begins_so(ada):
    for id in ("adam", "bert", "gone"):
        application.create(id, f"{id}@shop.example", id, PASSWORD)
    repository.accounts.update("gone", {"$set": {"erased": True}})
    assert [json.loads(run("show", user, "--json"))["id"] for user in ("adam", "be")] == ["adam", "bert"]
    assert "name one of them: ada, adam" in run("lock", "ad", code=1)
    assert json.loads(run("show", "ada"))["id"] == "ada", "the whole id is meant"
    run("show", "gon", code=3)


@pytest.mark.parametrize("user", ["ada", ADA, "ADA@SHOP.EXAMPLE"])
def test_commands_change_the_account_and_record_the_operator(ada, user):
    commands = (
        ("promote", "role", "admin"),
        ("demote", "role", "customer"),
        ("lock", "locked", True),
        ("unlock", "locked", False),
    )
    for command, field, value in commands:
        assert ada in run(command, user)
        shown = json.loads(run("show", user))
        assert (shown[field], shown["actions"][-1]["by"]) == (value, "operator")


def test_sessions_are_listed_and_ended(ada):
    session = sessions.begin(ada, 0)
    assert session.id in run("sessions", ADA) and session.id in run("sessions", ada, "--json")
    assert session.token not in run("sessions", ada, "--json")
    run("end-sessions", ADA)
    assert "none" in run("sessions", ADA)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lock", "nobody@shop.example"), "Error: Not found: There is no such user."),
        (("demote", ROOT), "Error: Last administrator: Make another account an administrator first."),
        (("lock", "root"), "Error: Last administrator: Make another account an administrator first."),
        (("create", "--email", ADA), "Error: Email already exists: Sign in, or use another address."),
        (("create", "--email", "nobody"), "Error: email must be an e-mail address"),
    ],
)
def test_refusal_is_one_line_with_a_code_of_its_own(ada, arguments, message):
    assert run(*arguments, stdin=f"{PASSWORD}\n", code=3).splitlines() == [message]


def test_create_refuses_a_common_password(ada):
    assert "most common passwords" in run("create", "--email", "new@shop.example", stdin="password123\n", code=3)
    assert repository.find_by_email("new@shop.example") is None


def test_first_admin_refuses_by_the_name_of_the_setting(monkeypatch):
    assert make_first(monkeypatch, ROOT, "administrator", code=3).startswith("Error: ADMIN_PASSWORD is one of")
    assert make_first(monkeypatch, "nobody", PASSWORD, code=3).startswith("Error: ADMIN_EMAIL must be")
    assert f"{ROOT} is the first administrator" in make_first(monkeypatch, ROOT, PASSWORD)
    assert "nothing was changed" in make_first(monkeypatch, "other@shop.example", PASSWORD)


def test_first_admin_waits_for_a_store_that_starts_later(store, monkeypatch):
    tries = []

    def attach(service):
        tries.append(service)
        store.fail(1 if len(tries) < 4 else 0, after=False)

    monkeypatch.setattr(cli, "attach_store", attach)
    assert "is the first administrator" in make_first(monkeypatch, ROOT, PASSWORD)
    assert len(tries) == 4
