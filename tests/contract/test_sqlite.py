"""What is the SQLite engine's own: its plans, its durability, and what it says when a disk or a lock is in the way."""

import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from chassis.bus import BusUnavailable, Record, Topic
from chassis.bus.sqlite.bus import SqliteBus
from chassis.store import Collection, Index, StoreUnavailable
from chassis.store.sqlite.file import SqliteFile
from chassis.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.embedded
BOXES = (
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
    boxes = Collection("boxes", *BOXES)
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
def test_a_search_reads_an_index_and_never_the_whole_table(boxes, where, how, index):
    after, sort = how.get("after"), how.get("sort", "_id")
    query, values = boxes.store._table(boxes).find(where, sort, 10, after)
    plan = [row[3] for row in boxes.store._file.read(f"EXPLAIN QUERY PLAN {query}", values)]
    assert any(index in step for step in plan), plan
    if where or after:
        assert not any(step.startswith("SCAN") for step in plan), plan
    if sort != "_id" and index != "boxes:words":
        assert not any("TEMP B-TREE" in step for step in plan), plan


def test_an_index_that_is_declared_otherwise_is_made_anew(tmp_path, boxes):
    boxes.insert({"_id": "x", "email": "x@x", "pending": 1, "slot": 1})
    changed = Collection("boxes", Index("pending", "slot", partial={"pending": {"$gt": 5}}), Index("email"))
    store = SqliteStore(tmp_path / "store.db")
    changed.attach(store).ensure_indexes()
    changed.insert({"_id": "y", "email": "x@x", "pending": 6, "slot": 1})
    assert len(changed.find({"pending": {"$gt": 5}})) == 1
    assert len(changed.find({"pending": {"$gt": 0}})) == 2
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


def test_work_that_fails_half_way_is_undone_and_what_shares_its_transaction_is_not(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable)
    file.write(lambda db: db.execute("CREATE TABLE t (n)"))
    first_is_in, go_on = threading.Event(), threading.Event()

    def first(db):
        first_is_in.set()
        go_on.wait()

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
    first_is_in.wait()
    threads += [threading.Thread(target=file.write, args=(good,)), threading.Thread(target=fails)]
    threads += [threading.Thread(target=file.write, args=(good,))]
    for thread in threads[1:]:
        thread.start()
    while len(file._waiting) < 3:
        threads[1].join(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert file.read("SELECT n FROM t") == [("good",), ("good",)]
    file.close()


def test_a_thread_that_waits_too_long_for_its_turn_is_told_and_writes_nothing(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable, timeout_s=0.1)
    file.write(lambda db: db.execute("CREATE TABLE t (n)"))
    first_is_in, go_on = threading.Event(), threading.Event()

    def slow(db):
        first_is_in.set()
        go_on.wait()

    thread = threading.Thread(target=file.write, args=(slow,))
    thread.start()
    first_is_in.wait()
    with pytest.raises(StoreUnavailable):
        file.write(lambda db: db.execute("INSERT INTO t VALUES (1)"))
    go_on.set()
    thread.join()
    assert file.read("SELECT n FROM t") == []
    file.write(lambda db: db.execute("INSERT INTO t VALUES (2)"))
    assert file.read("SELECT n FROM t") == [(2,)]
    file.close()


def test_a_lock_that_another_process_keeps_is_reported_in_time_and_waited_for_if_short(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable, timeout_s=0.2)
    store = SqliteStore(file)
    docs = Collection("docs")
    docs.attach(store).ensure_indexes()
    docs.insert({"_id": "1"})
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        docs.insert({"_id": "2"})
    assert 0.15 < time.monotonic() - began < 30
    assert docs.get("1") == {"_id": "1"}, "readers go on meanwhile"
    store.close()
    store = SqliteStore(SqliteFile(tmp_path / "x.db", StoreUnavailable, timeout_s=60))
    docs.attach(store)
    release = threading.Timer(0.05, other.execute, ["COMMIT"])
    release.start()
    docs.insert({"_id": "2"})
    release.join()
    other.close()
    store.close()


def test_a_store_that_cannot_be_opened_is_down(tmp_path):
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


def test_a_full_disk_is_reported_undone_and_survived(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "x.db"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["down", "{'_id': 'small'} None", "{'_id': 'again'}"]


def test_a_mistake_in_the_program_is_not_blamed_on_the_engine(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable)
    with pytest.raises(sqlite3.OperationalError):
        file.read("SELECT * FROM nothing")
    file.close()


def test_a_store_opened_before_a_fork_refuses_to_work_after_it(tmp_path):
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


def test_a_store_made_before_a_fork_and_opened_after_it_works_in_both(tmp_path):
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


def test_a_thread_that_ends_gives_its_connection_back(tmp_path):
    file = SqliteFile(tmp_path / "x.db", StoreUnavailable)
    for _ in range(30):
        thread = threading.Thread(target=file.read, args=("SELECT 1",))
        thread.start()
        thread.join()
    gc.collect()
    assert len(file._opened) == 0
    file.close()


def test_a_poll_that_fails_half_way_skips_nothing(tmp_path, monkeypatch):
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([Topic("t", partitions=4)])
    bus.publish([Record("t", str(n), b"") for n in range(40)], 1)
    consumer = bus.consumer("g", ["t"])
    consumer.poll(1, 0)
    read, reads = consumer._file.read, []

    def failing(sql, values=()):
        if "FROM records" in sql:
            reads.append(sql)
            if len(reads) == 3:
                raise BusUnavailable("disk I/O error")
        return read(sql, values)

    monkeypatch.setattr(consumer._file, "read", failing)
    with pytest.raises(BusUnavailable):
        consumer.poll(100, 0)
    assert len(consumer.poll(100, 0)) == 39
    bus.close()


def test_twelve_idle_consumers_use_less_than_a_tenth_of_a_core(tmp_path):
    bus = SqliteBus(tmp_path / "bus.db")
    topics = [Topic(f"t{n}") for n in range(6)]
    bus.ensure_topics(topics)

    def idle(group):
        consumer = bus.consumer(group, [topic.name for topic in topics[:3]])
        consumer.poll(50, 0)
        ready.wait()
        consumer.poll(50, 3)
        ready.wait()

    ready = threading.Barrier(13)
    threads = [threading.Thread(target=idle, args=(f"g{n}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.process_time()
    ready.wait()
    used = time.process_time() - began
    for thread in threads:
        thread.join()
    bus.close()
    assert used < 0.3, f"{used:.2f} s of CPU in 3 s"


def test_records_go_when_their_topics_retention_is_over_and_offsets_go_on(tmp_path, fake_clock):
    bus = SqliteBus(tmp_path / "bus.db", session_s=10)
    topics = [Topic("short", 1, retention_s=3600), Topic("long", 1, retention_s=7 * 86400)]
    bus.ensure_topics(topics)
    for topic in topics:
        bus.publish([Record(topic.name, "k", b"old")] * 1203, 1)
    fake_clock.pass_time(1800)
    bus.publish([Record(topic.name, "k", b"kept") for topic in topics], 1)
    fake_clock.pass_time(2000)
    bus.publish([Record(topic.name, "k", b"new, and time to prune") for topic in topics], 1)
    consumer = bus.consumer("g", ["short", "long"])
    assert consumer.poll(5000, 0)
    assert consumer.lag() == {("short", 0): 2, ("long", 0): 1205}
    consumer.seek(("short", 0), 0)
    assert [record.offset for record in consumer.poll(5000, 0)] == [1203, 1204]
    fake_clock.pass_time(8 * 86400)
    SqliteBus(tmp_path / "bus.db").ensure_topics(topics)
    consumer.seek(("long", 0), 0)
    assert consumer.poll(5000, 0) == []
    bus.publish([Record("short", "k", b"next")], 1)
    assert [record.offset for record in consumer.poll(5000, 0)] == [1205]
    bus.close()
