"""The format of the stored data: recorded in an empty store, checked at every start, refused where it differs."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from shlex import quote

import pytest

from chassis.store import Collection, StoreUnavailable
from chassis.store.format import VERSION, CheckedStore, check_format
from chassis.store.sqlite.store import SqliteStore
from tests.system.running import free_port

on_both_engines = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)

SERVICE = """
import sys
from chassis.service import Service
from chassis.settings import settings
from chassis.web.server import serve
service = Service("toy")
if sys.argv[1] == "web":
    serve(service.application, 1)
else:
    service.worker()
"""


def formats(store):
    return Collection("storage_format").attach(store)


def accounts(store):
    return Collection("accounts").attach(store)


@on_both_engines
def test_empty_store_records_the_current_format(store):
    check_format(store)
    assert list(formats(store).find()) == [{"_id": "format", "version": VERSION}]


@on_both_engines
def test_empty_collection_does_not_count_as_data(store):
    accounts(store).ensure_indexes()
    check_format(store)
    assert formats(store).get("format")


@on_both_engines
def test_store_of_the_current_format_is_accepted(engine, store):
    check_format(store)
    accounts(store).insert({"_id": "ada"})
    check_format(store)
    other = engine.store()
    check_format(other)
    other.close()
    assert accounts(store).get("ada")


@on_both_engines
def test_documents_without_a_format_are_rejected(store):
    accounts(store).insert({"_id": "ada"})
    for _ in range(2):
        with pytest.raises(SystemExit) as refused:
            check_format(store)
        assert "an earlier version" in str(refused.value)
        assert store.location in str(refused.value)
        assert store.remedy in str(refused.value)
        assert "\n" not in str(refused.value)
    assert formats(store).get("format") is None
    assert accounts(store).get("ada") == {"_id": "ada"}


@on_both_engines
@pytest.mark.parametrize(("version", "named"), [(VERSION - 1, "an earlier version"), (VERSION + 1, "a later version")])
def test_other_format_is_rejected_by_its_number(store, version, named):
    formats(store).insert({"_id": "format", "version": version})
    with pytest.raises(SystemExit, match=f"{named}.*format {version}, not {VERSION}"):
        check_format(store)


@on_both_engines
def test_process_that_starts_beside_another_is_accepted(store):
    """The other process records the format and writes between our two looks."""

    class Raced:
        location, remedy = store.location, store.remedy

        def __getattr__(self, name):
            return getattr(store, name)

        def has_documents(self, besides):
            check_format(store)
            accounts(store).insert({"_id": "ada"})
            return store.has_documents(besides)

    check_format(Raced())


@pytest.mark.parametrize("process", ["web", "worker"])
def test_service_with_old_data_exits_with_one_line(tmp_path, process):
    (tmp_path / "store").mkdir()
    old = SqliteStore(tmp_path / "store" / "toy.db")
    accounts(old).insert({"_id": "ada"})
    old.close()
    environment = {
        "DATA_DIR": str(tmp_path),
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "HEALTH_PORT": str(free_port()),
        "PLATFORM_SECRET": "s" * 32,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-c", SERVICE, process]
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode > 0
    assert "Traceback" not in ended.stdout + ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("mercato:")]
    assert "toy.db was made by an earlier version" in line
    assert "set DATA_DIR to a new folder" in line


@on_both_engines
def test_owner_is_recorded_and_accepted_again(store):
    for _ in range(2):
        check_format(store, "north-", "north/shop")
    assert formats(store).get("format") == {
        "_id": "format",
        "version": VERSION,
        "prefix": "north-",
        "installation": "north/shop",
    }


@on_both_engines
@pytest.mark.parametrize(("made", "other"), [("north-", "south-"), ("north-", ""), ("", "south-")])
def test_store_of_another_prefix_is_refused(store, made, other):
    check_format(store, made)
    with pytest.raises(SystemExit) as refused:
        check_format(store, other)
    line = str(refused.value)
    assert f"belongs to a platform with PREFIX={made or quote('')}, not PREFIX={other or quote('')}" in line
    assert f"set PREFIX={made or quote('')}, or {store.remedy}" in line
    assert "\n" not in line
    check_format(store, made)


@on_both_engines
@pytest.mark.parametrize("other", ["south/shop", ""])
def test_store_of_another_installation_is_refused(store, other):
    check_format(store, "", "north/shop")
    docs = Collection("docs").attach(CheckedStore(store, "", other))
    with pytest.raises(StoreUnavailable, match="belongs to the installation north/shop"):
        docs.insert({"_id": "1"})
    with pytest.raises(SystemExit) as refused:
        check_format(store, "", other)
    assert "set PREFIX to a prefix of your own" in str(refused.value)
    assert "INSTALLATION=north/shop" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert formats(store).get("format")["installation"] == "north/shop"
    assert docs.attach(CheckedStore(store, "", "north/shop")).get("1") is None


@on_both_engines
def test_store_without_an_owner_belongs_to_the_first_installation_that_is_named(store):
    """As release 0.2.0 left it."""
    check_format(store)
    accounts(store).insert({"_id": "ada"})

    def start(installation):
        try:
            check_format(store, "", installation)
        except SystemExit as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(4) as pool:
        refused = list(pool.map(start, ["north/shop", "south/shop"] * 4))
    owner = formats(store).get("format")["installation"]
    assert [not text for text in refused] == [name == owner for name in ["north/shop", "south/shop"] * 4]
    assert accounts(store).get("ada")


@on_both_engines
def test_first_operation_checks_the_format(store):
    accounts(store).attach(CheckedStore(store)).insert({"_id": "ada"})
    assert formats(store).get("format") == {"_id": "format", "version": VERSION}
    check_format(store)


@on_both_engines
def test_operations_on_another_format_are_rejected_and_change_nothing(store):
    accounts(store).insert({"_id": "ada"})
    docs = Collection("docs").attach(CheckedStore(store))
    for operation in (docs.find, docs.ensure_indexes, lambda: docs.get("1"), lambda: docs.insert({"_id": "1"})):
        with pytest.raises(StoreUnavailable, match="an earlier version"):
            operation()
    assert formats(store).get("format") is None
