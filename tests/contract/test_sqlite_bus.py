"""The SQLite engine of the bus: failed reads, idle consumers and retention."""

import threading
import time

import pytest

from chassis.bus import BusUnavailable, Record, Topic
from chassis.bus.sqlite.bus import SqliteBus

pytestmark = pytest.mark.embedded


def test_failed_poll_skips_no_record(tmp_path, monkeypatch):
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
    started = time.process_time()
    ready.wait()
    used = time.process_time() - started
    for thread in threads:
        thread.join()
    bus.close()
    assert used < 0.3, f"{used:.2f} s of CPU in 3 s"


def test_expired_records_are_in_no_file(tmp_path, fake_clock):
    """Events of users hold names and addresses: they must not outlive the retention in the write-ahead log."""
    bus = SqliteBus(tmp_path / "bus.db")
    bus.ensure_topics([Topic("users.events", 1, retention_s=3600)])
    bus.publish([Record("users.events", "k", b"ada@shop.example")], 1)
    assert files_with(tmp_path, b"ada@shop.example")
    fake_clock.pass_time(3700)
    bus.publish([Record("users.events", "k", b"another")], 1)
    assert not files_with(tmp_path, b"ada@shop.example")
    assert files_with(tmp_path, b"another")
    bus.close()


def files_with(folder, word):
    return [path.name for path in folder.iterdir() if word in path.read_bytes()]


def test_expired_records_are_deleted_and_offsets_continue(tmp_path, fake_clock):
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
