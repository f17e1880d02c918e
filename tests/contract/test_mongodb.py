"""The MongoDB engine: durability, indexes, URIs, forks and threads."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from mongodb_spy import created, spy
from pymongo import MongoClient

from chassis import deadline
from chassis.settings import Settings
from chassis.store import Collection, Duplicate, Index, StoreUnavailable, UpdateOne
from chassis.store.engines import open_store
from chassis.store.mongodb import query
from chassis.store.mongodb.store import MongodbStore

INDEXES = (
    Index("town", "name"),
    Index("at.seen"),
    Index("pending", "slot", partial={"pending": {"$gt": 0}}),
    Index("open", "due", partial={"open": True}),
    Index("email", unique=True, partial={"email": {"$exists": True}}),
    Index("words", multikey=True),
)


def test_durability_does_not_depend_on_the_uri(database):
    store = MongodbStore(
        f"{database.uri}?w=1&journal=false&readConcernLevel=local&readPreference=secondary", database.database
    )
    docs = created(store, Index("n"))
    spy.commands.clear()
    docs.insert({"_id": "1", "n": 1})
    docs.update("1", {"$inc": {"n": 1}})
    docs.bulk_update([UpdateOne("1", {"$inc": {"n": 1}})])
    docs.get("1")
    docs.find({"n": 3})
    docs.delete("1")
    with deadline.within(2):
        docs.get("1")
    for name in ("insert", "findAndModify", "update", "delete"):
        (command,) = spy.named(name)
        assert command["writeConcern"] == {"w": "majority", "j": True}, name
        assert 0 < command["maxTimeMS"] <= 4000
    assert len(spy.named("find")) == 3
    for command in spy.named("find"):
        assert command["readConcern"] == {"level": "majority"}
        assert command.get("$readPreference", {"mode": "primary"})["mode"] == "primary"
    assert spy.named("find")[-1]["maxTimeMS"] <= 2000
    store.close()


def test_indexes_end_in_the_order_of_pages(database):
    store = database.store()
    Collection("boxes", *INDEXES).attach(store).ensure_indexes()
    with MongoClient(database.uri) as client:
        listed = {each["name"]: each for each in client[database.database].boxes.list_indexes()}
    store.close()
    definitions = {
        name: (list(each["key"]), bool(each.get("unique")), query.existing_definition(each)[2])
        for name, each in listed.items()
    }
    assert definitions == {
        "_id_": (["_id"], False, {}),
        "town_name": (["town", "name", "_id"], False, {}),
        "at_seen": (["at.seen", "_id"], False, {}),
        "pending_slot_partial": (["pending", "slot", "_id"], False, {"pending": {"$gt": 0}}),
        "open_due_partial": (["open", "due", "_id"], False, {"open": True}),
        "email_partial": (["email"], True, {"email": {"$exists": True}}),
        "words": (["words", "_id"], False, {}),
    }


def test_page_is_one_command_that_starts_at_the_cursor(database):
    docs = created(database.store(), Index("town", "name"))
    for n in range(300):
        docs.insert({"_id": f"{n:03}", "town": "x", "name": f"{n:03}"})
    spy.commands.clear()
    assert len(docs.find({"town": "x"}, sort="-name", limit=250, after=("280", "280"))) == 250
    assert [next(iter(command)) for command in spy.commands] == ["find"]
    (command,) = spy.commands
    assert command["sort"] == {"name": -1, "_id": -1}
    assert {"name": {"$lte": "280"}} in command["filter"]["$and"]
    assert {"town": "x"} in command["filter"]["$and"]
    docs.store.close()


def test_existing_index_is_kept_and_undeclared_one_dropped(database):
    created(database.store(), *INDEXES).store.close()
    with MongoClient(database.uri) as client:
        client[database.database].docs.create_index("x", name="by_hand")
        spy.commands.clear()
        created(database.store(), *INDEXES).store.close()
        assert not spy.named("createIndexes")
        assert len(spy.named("dropIndexes")) == 1
        assert "by_hand" not in client[database.database].docs.index_information()


def test_stores_that_start_at_once_all_get_changed_indexes(database):
    created(database.store(), Index("a"), Index("email", unique=True)).store.close()
    stores = [database.store() for _ in range(6)]
    declared = Index("a", partial={"a": {"$gt": 0}}), Index("b"), Index("email", unique=True)

    def ensure(store):
        while True:
            try:
                return created(store, *declared)
            except StoreUnavailable:
                pass  # another store dropped an index at the same time

    with ThreadPoolExecutor(len(stores)) as pool:
        collections = list(pool.map(ensure, stores))
    with MongoClient(database.uri) as client:
        assert set(client[database.database].docs.index_information()) == {"_id_", "a_partial", "b", "email"}
    collections[0].insert({"_id": "1", "email": "x"})
    with pytest.raises(Duplicate):
        collections[1].insert({"_id": "2", "email": "x"})
    for store in stores:
        store.close()


def test_rewrite_is_computed_again_if_the_document_changes_meanwhile(database):
    docs, others = created(database.store()), created(database.store())
    docs.insert({"_id": "1", "n": 1})
    docs.insert({"_id": "2", "n": 1})
    seen = []

    def changes(doc):
        if not seen:
            others.update("1", {"$inc": {"n": 1}})
        seen.append((doc["_id"], doc["n"]))
        return {"double": 2 * doc["n"]} if doc.get("double") != 2 * doc["n"] else {}

    assert docs.store.rewrite(docs, ["1", "2", "none"], changes) == 2
    assert docs.find() == [{"_id": "1", "n": 2, "double": 4}, {"_id": "2", "n": 1, "double": 2}]
    assert ("1", 1) in seen and ("1", 2) in seen
    docs.store.close()
    others.store.close()


@pytest.mark.parametrize(
    "uri",
    [
        "postgres://shop:s3cr3t@db",
        "mongodb://shop:s3cr3t/x@db",
        "mongodb://shop:s3cr3t:x@db",
        "mongodb://shop:s3cr3t@db:port",
        "mongodb://shop:s3cr3t@db/?nonsense=s3cr3t",
        "mongodb://",
    ],
)
def test_invalid_uri_exits_without_repeating_it(uri):
    with pytest.raises(SystemExit) as caught:
        open_store(Settings.from_environment({"MONGODB_URI": uri}), "orders")
    assert "MONGODB_URI" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_driver_is_imported_only_where_it_is_used(tmp_path):
    program = """
import sys
import chassis.service
from chassis.settings import Settings
from chassis.store.engines import open_store
open_store(Settings.from_environment({"DATA_DIR": sys.argv[1]}), "orders")
assert "pymongo" not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, env=environment)


def test_store_used_before_a_fork_fails_after_it(database):
    docs = created(database.store())
    docs.insert({"_id": "1"})
    assert succeeds_in_child(lambda: pytest.raises(RuntimeError, docs.get, "1"))
    assert docs.get("1") == {"_id": "1"}
    docs.store.close()


def test_store_created_before_a_fork_works_in_both_processes(database):
    store = database.store()
    assert succeeds_in_child(lambda: created(store).insert({"_id": "child"}))
    docs = created(store)
    docs.insert({"_id": "parent"})
    assert {doc["_id"] for doc in docs.find()} == {"child", "parent"}
    store.close()


def succeeds_in_child(work):
    """Run `work` in a forked process. Return whether it succeeded."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_more_threads_than_connections_share_them(database):
    store = MongodbStore(database.uri, database.database, threads=8)
    docs = created(store)
    docs.insert({"_id": "t", "n": 0})
    spy.max_open = spy.open = 0

    def work(me):
        return [docs.update("t", {"$inc": {"n": 1}})["n"] for _ in range(10)]

    with ThreadPoolExecutor(40) as pool:
        got = sorted(n for some in pool.map(work, range(40)) for n in some)
    assert got == list(range(1, 401))
    assert 1 < spy.max_open <= 8 + 2, "heartbeat connections are not in the pool"
    store.close()
