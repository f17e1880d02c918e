"""The SQLite engine of the store: query plans, transactions, locks, full disks, forks and threads."""

import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from chassis.bus import BusUnavailable, Record
from chassis.bus.sqlite.bus import SqliteBus
from chassis.store import Collection, Index, StoreUnavailable, UpdateOne
from chassis.store.sqlite.file import SqliteFile
from chassis.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.embedded

INDEXES = (
    Index("town", "name"),
    Index("name"),
    Index("pending", "slot", partial={"pending": {"$gt": 0}}),
    Index("open", "due", partial={"open": True}),
    Index("status", "until", partial={"status": "it's reserved"}),
    Index("email", unique=True),
    Index("words", multikey=True),
)


@pytest.fixture
def boxes(tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    boxes = Collection("boxes", *INDEXES)
    boxes.attach(store).ensure_indexes()
    for n in range(50):
        boxes.insert({"_id": str(n), "email": f"{n}@x"})
    yield boxes
    store.close()


@pytest.mark.parametrize(
    ("where", "how", "index"),
    [
        ({}, {}, "autoindex"),
        ({}, {"sort": "name", "after": ("x", "3")}, "boxes:name"),
        ({"_id": {"$gt": "5"}}, {}, "autoindex"),
        ({"town": "x"}, {}, "boxes:town_name"),
        ({"town": "x"}, {"sort": "-name", "after": ("x", "3")}, "boxes:town_name"),
        ({"name": {"$lt": "x"}}, {"after": ("3", "3")}, "boxes:name"),
        ({"email": "x"}, {}, "boxes:email"),
        ({"pending": {"$gt": 0}}, {}, "boxes:pending_slot_partial"),
        ({"pending": {"$gt": 0}, "slot": {"$in": [1, 2]}}, {"after": ("3", "3")}, "boxes:pending_slot_partial"),
        ({"open": True, "due": {"$lt": "x"}}, {"sort": "due"}, "boxes:open_due_partial"),
        ({"status": "it's reserved", "until": {"$lt": "x"}}, {"sort": "until"}, "boxes:status_until_partial"),
        ({"words": {"$all": ["x"]}}, {"sort": "name"}, "boxes:words"),
    ],
)
def test_search_reads_an_index_and_never_the_whole_table(boxes, where, how, index):
    after, sort = how.get("after"), how.get("sort", "_id")
    query, values = boxes.store._table(boxes).find(where, sort, 10, after)
    plan = [row[3] for row in boxes.store._file.read(f"EXPLAIN QUERY PLAN {query}", values)]
    assert any(index in step for step in plan), plan
    if where or after:
        assert not any(step.startswith("SCAN") for step in plan), plan
    if sort != "_id" and index != "boxes:words":
        assert not any("TEMP B-TREE" in step for step in plan), plan


def test_index_with_changed_declaration_is_rebuilt(tmp_path, boxes):
    boxes.insert({"_id": "x", "email": "x@x", "pending": 1, "slot": 1})
    changed = Collection("boxes", Index("pending", "slot", partial={"pending": {"$gt": 5}}), Index("email"))
    store = SqliteStore(tmp_path / "store.db")
    changed.attach(store).ensure_indexes()
    changed.insert({"_id": "y", "email": "x@x", "pending": 6, "slot": 1})
    assert len(changed.find({"pending": {"$gt": 5}})) == 1
    assert len(changed.find({"pending": {"$gt": 0}})) == 2
    store.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda boxes: boxes.find({"tags": {"$all": ["x"]}}),
        lambda boxes: boxes.insert({"_id": "new", "tags": ["x"]}),
        lambda boxes: boxes.update("1", {"$set": {"tags": ["x", "z"]}}),
        lambda boxes: boxes.bulk_update([UpdateOne("1", {"$set": {"tags": ["x", "z"]}})]),
        lambda boxes: boxes.delete("1"),
    ],
    ids=["find", "insert", "update", "bulk update", "delete"],
)
def test_process_of_an_earlier_release_that_starts_later_breaks_no_operation(tmp_path, use):
    """It drops the multikey index that it does not declare, and adds documents that are not in it."""
    file, later, earlier = tmp_path / "shop.db", Collection("boxes", Index("tags", multikey=True)), Collection("boxes")
    later.attach(SqliteStore(file)).ensure_indexes()
    later.insert({"_id": "1", "tags": ["x"]})
    earlier.attach(SqliteStore(file)).ensure_indexes()
    earlier.insert({"_id": "2", "tags": ["x"]})
    use(later)
    expected = [doc["_id"] for doc in later.find() if "x" in doc["tags"]]
    assert [doc["_id"] for doc in later.find({"tags": {"$all": ["x"]}})] == expected
    later.store.close()
    earlier.store.close()


def test_purge_leaves_deleted_and_overwritten_data_in_no_file(tmp_path):
    """Also while another connection reads: then the next purge does it."""
    store, people = SqliteStore(tmp_path / "x.db"), Collection("people")
    people.attach(store).ensure_indexes()

    def files_with(word):
        return [path.name for path in tmp_path.iterdir() if word in path.read_bytes()]

    people.insert({"_id": "a", "name": "canary-old"})
    people.insert({"_id": "b", "name": "canary-gone"})
    people.update("a", {"$set": {"name": "canary-new"}})
    people.delete("b")
    assert files_with(b"canary-old") and files_with(b"canary-gone")
    with closing(sqlite3.connect(tmp_path / "x.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM people").fetchall()
        store.purge_deleted()
        assert files_with(b"canary-gone")
        reader.execute("ROLLBACK")
    store.purge_deleted()
    assert (files_with(b"canary-old"), files_with(b"canary-gone")) == ([], [])
    assert people.get("a") == {"_id": "a", "name": "canary-new"}
    store.close()


def test_every_connection_syncs_each_commit(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable)
    found = []
    threads = [threading.Thread(target=lambda: found.append(file.read("PRAGMA synchronous")[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    assert found == [(2,)] * 3
    assert file.read("PRAGMA journal_mode") == [("wal",)]
    file.close()


def test_failed_job_is_rolled_back_alone(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable)
    file.write(lambda db: db.execute("CREATE TABLE t (n)"))
    first_has_started, may_continue = threading.Event(), threading.Event()

    def first(db):
        first_has_started.set()
        may_continue.wait()

    def good(db):
        db.execute("INSERT INTO t VALUES ('good')")

    def bad(db):
        db.execute("INSERT INTO t VALUES ('bad')")
        raise ValueError("no")

    def fails():
        with pytest.raises(ValueError):
            file.write(bad)

    threads = [threading.Thread(target=file.write, args=(first,))]
    threads[0].start()
    first_has_started.wait()
    threads += [threading.Thread(target=file.write, args=(good,)), threading.Thread(target=fails)]
    threads += [threading.Thread(target=file.write, args=(good,))]
    for thread in threads[1:]:
        thread.start()
    while len(file._waiting) < 3:
        threads[1].join(0.001)
    may_continue.set()
    for thread in threads:
        thread.join()
    assert file.read("SELECT n FROM t") == [("good",), ("good",)]
    file.close()


def test_thread_that_times_out_writes_nothing(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable, timeout_s=0.1)
    file.write(lambda db: db.execute("CREATE TABLE t (n)"))
    first_has_started, may_continue = threading.Event(), threading.Event()

    def slow(db):
        first_has_started.set()
        may_continue.wait()

    thread = threading.Thread(target=file.write, args=(slow,))
    thread.start()
    first_has_started.wait()
    with pytest.raises(StoreUnavailable):
        file.write(lambda db: db.execute("INSERT INTO t VALUES (1)"))
    may_continue.set()
    thread.join()
    assert file.read("SELECT n FROM t") == []
    file.write(lambda db: db.execute("INSERT INTO t VALUES (2)"))
    assert file.read("SELECT n FROM t") == [(2,)]
    file.close()


def test_lock_of_another_process_is_waited_for_until_timeout(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable, timeout_s=0.2)
    store = SqliteStore(file)
    docs = Collection("docs")
    docs.attach(store).ensure_indexes()
    docs.insert({"_id": "1"})
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        docs.insert({"_id": "2"})
    assert 0.15 < time.monotonic() - started < 30
    assert docs.get("1") == {"_id": "1"}, "readers continue meanwhile"
    store.close()
    store = SqliteStore(SqliteFile(tmp_path / "x.db", StoreUnavailable, timeout_s=60))
    docs.attach(store)
    release = threading.Timer(0.05, other.execute, ["COMMIT"])
    release.start()
    docs.insert({"_id": "2"})
    release.join()
    other.close()
    store.close()


def test_store_that_cannot_be_opened_is_unavailable(tmp_path):
    with pytest.raises(StoreUnavailable):
        Collection("docs").attach(SqliteStore(tmp_path / "nowhere" / "x.db")).ensure_indexes()
    (tmp_path / "x.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable):
        Collection("docs").attach(SqliteStore(tmp_path / "x.db")).ensure_indexes()
    bus = SqliteBus(tmp_path / "x.db")
    assert [type(error) for error in bus.publish([Record("t", "k", b"")], 1)] == [BusUnavailable]
    with pytest.raises(BusUnavailable):
        bus.ping()


FULL_DISK = """
import resource, sys
from pathlib import Path
from chassis.store import Collection, StoreUnavailable
from chassis.store.sqlite.store import SqliteStore
docs = Collection("docs")
docs.attach(SqliteStore(Path(sys.argv[1]))).ensure_indexes()
docs.insert({"_id": "small"})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    docs.insert({"_id": "big", "text": "x" * 1_000_000})
    print("stored")
except StoreUnavailable:
    print("down")
print(docs.get("small"), docs.get("big"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
docs.insert({"_id": "again"})
print(docs.get("again"))
"""


def test_full_disk_rolls_back_and_recovers(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "x.db"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["down", "{'_id': 'small'} None", "{'_id': 'again'}"]


def test_mistake_in_the_program_is_not_blamed_on_the_engine(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable)
    with pytest.raises(sqlite3.OperationalError):
        file.read("SELECT * FROM nothing")
    file.close()


def test_store_used_before_a_fork_fails_after_it(tmp_path):
    docs = Collection("docs")
    docs.attach(SqliteStore(tmp_path / "x.db")).ensure_indexes()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            docs.get("1")
        except RuntimeError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    docs.insert({"_id": "1"})
    docs.store.close()


def test_store_created_before_a_fork_works_in_both_processes(tmp_path):
    store = SqliteStore(tmp_path / "x.db")
    child = os.fork()
    docs = Collection("docs")
    if child == 0:
        code = 1
        try:
            docs.attach(store).ensure_indexes()
            docs.insert({"_id": "child"})
            code = 0
        finally:
            os._exit(code)
    docs.attach(store).ensure_indexes()
    docs.insert({"_id": "parent"})
    assert os.waitpid(child, 0)[1] == 0
    assert {doc["_id"] for doc in docs.find()} == {"child", "parent"}
    store.close()


def test_connection_is_closed_when_its_thread_ends(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable)
    for _ in range(30):
        thread = threading.Thread(target=file.read, args=("SELECT 1",))
        thread.start()
        thread.join()
    gc.collect()
    assert len(file._opened) == 0
    file.close()
