"""The store's contract: many threads and processes at once, a killed one, and a store that is opened again."""

import threading

import pytest
import workers
from collections_under_test import created

from chassis.store import Duplicate, Index
from tests.system.running import eventually

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)


def test_threads_never_oversell(store):
    stock = created(store, "stock")
    stock.insert({"_id": "p", "available": 50, "sold": []})
    won = []

    def buy(buyer):
        for n in range(20):
            if stock.update(
                "p", {"$inc": {"available": -1}, "$push": {"sold": f"{buyer}-{n}"}}, when={"available": {"$gte": 1}}
            ):
                won.append(f"{buyer}-{n}")

    threads = [threading.Thread(target=buy, args=(buyer,)) for buyer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    doc = stock.get("p")
    assert doc["available"] == 0
    assert sorted(doc["sold"]) == sorted(won)
    assert len(won) == 50


def test_processes_never_oversell(engine, store):
    workers.stock.attach(store).ensure_indexes()
    workers.stock.insert({"_id": "p", "available": 100, "sold": 0})
    with workers.working(*[(workers.sell, engine, 60)] * 3) as sellers:
        for seller in sellers:
            assert seller.pipe.recv() == "ready"
        for seller in sellers:
            seller.pipe.send("go")
        got = [seller.pipe.recv() for seller in sellers]
    assert sum(got) == 100
    assert workers.stock.get("p") == {"_id": "p", "available": 0, "sold": 100}


def test_concurrent_writers_get_their_own_outcomes(store):
    """They may share a transaction; what one is refused must neither hurt the others nor leave anything behind."""
    docs = created(store, "docs", Index("email", unique=True))
    docs.insert({"_id": "taken", "email": "taken@x", "n": "text"})
    outcomes = {}

    def work(me):
        for n in range(10):
            id = f"{me}-{n}"
            docs.insert({"_id": id, "email": id})
            with pytest.raises(Duplicate):
                docs.insert({"_id": f"{id}-again", "email": "taken@x"})
            with pytest.raises(ValueError):
                docs.update("taken", {"$set": {"by": id}, "$inc": {"n": 1}})
            assert docs.update(id, {"$set": {"seen": True}}, when={"seen": True}) is None
        outcomes[me] = "done"

    threads = [threading.Thread(target=work, args=(me,)) for me in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == dict.fromkeys("abcdefgh", "done")
    assert len(list(docs.iterate())) == 81
    assert docs.get("taken") == {"_id": "taken", "email": "taken@x", "n": "text"}


def test_only_one_process_wins_an_id_and_a_unique_field(engine, store):
    workers.claims.attach(store).ensure_indexes()
    names = [f"n{n}" for n in range(40)]
    with workers.working(*[(workers.claim, engine, me, names) for me in "abc"]) as claimers:
        for claimer in claimers:
            assert claimer.pipe.recv() == "ready"
        for claimer in claimers:
            claimer.pipe.send("go")
        won = [name for claimer in claimers for name in claimer.pipe.recv()]
    assert sorted(won) == sorted([*names, *(f"{name}@" for name in names)])


def test_duplicate_names_id_although_the_other_is_deleted(store):
    people = created(store, "comers", Index("email", unique=True))
    doc = {"_id": "a", "email": "a@x"}
    over, named = threading.Event(), set()

    def come():
        try:
            people.insert(doc)
        except Duplicate as error:
            named.add(error.field)

    def come_and_go():
        while not over.is_set():
            come()
            people.delete("a")

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            come()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert named == {"_id"}


def test_delete_succeeds_beside_constant_updates(store):
    counters = created(store, "counters")
    over = threading.Event()

    def count():
        while not over.is_set():
            counters.update("a", {"$inc": {"n": 1}})

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(30):
            counters.insert({"_id": "a", "n": 0})
            eventually(lambda: counters.get("a")["n"])
            assert counters.delete("a")
            assert not counters.delete("a")
    finally:
        over.set()
        thread.join()


def test_processes_that_start_at_once_find_their_indexes(engine):
    with workers.working(*[(workers.claim, engine, me, [me]) for me in "abcd"]) as claimers:
        assert [claimer.pipe.recv() for claimer in claimers] == ["ready"] * 4


def test_killed_writer_loses_no_acknowledged_write(engine, store):
    with workers.working((workers.write, engine, "a"), (workers.write, engine, "b")) as writers:
        reported = {"a": [], "b": []}
        for name, writer in zip("ab", writers, strict=True):
            while len(reported[name]) < 40:
                reported[name].append(writer.pipe.recv())
        for name, writer in zip("ab", writers, strict=True):
            writer.kill()
            reported[name] += writer.reported_until_end()
    workers.diary.attach(store).ensure_indexes()
    for name, numbers in reported.items():
        last = numbers[-1]
        assert numbers == list(range(1, last + 1))
        assert all(workers.diary.get(f"{name}-{n}") for n in numbers)
        assert workers.diary.get(name)["n"] in (last, last + 1)
        written = {f"{doc['_id']}" for doc in workers.diary.iterate({"words": {"$all": [name]}})}
        assert written in ({f"{name}-{n}" for n in range(1, last + more)} for more in (1, 2))


def test_reopened_store_has_its_documents(engine, store):
    created(store, "docs", Index("a")).insert({"_id": "1", "a": 1})
    store.close()
    assert created(engine.store(), "docs", Index("a")).find({"a": 1}) == [{"_id": "1", "a": 1}]


def test_collections_are_separate(store):
    one, other = created(store, "one"), created(store, "other")
    one.insert({"_id": "1"})
    assert other.get("1") is None


def test_ping_answers(store):
    store.ping()
