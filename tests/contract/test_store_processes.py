"""The store's contract where several processes use it at once, and where one is killed."""

import pytest
import workers

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "mongodb"], indirect=True)


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


def test_an_id_and_a_unique_field_are_won_by_one_process_alone(engine, store):
    workers.claims.attach(store).ensure_indexes()
    names = [f"n{n}" for n in range(40)]
    with workers.working(*[(workers.claim, engine, me, names) for me in "abc"]) as claimers:
        for claimer in claimers:
            assert claimer.pipe.recv() == "ready"
        for claimer in claimers:
            claimer.pipe.send("go")
        won = [name for claimer in claimers for name in claimer.pipe.recv()]
    assert sorted(won) == sorted([*names, *(f"{name}@" for name in names)])


def test_processes_that_start_at_once_find_their_collections_made(engine):
    with workers.working(*[(workers.claim, engine, me, [me]) for me in "abcd"]) as claimers:
        assert [claimer.pipe.recv() for claimer in claimers] == ["ready"] * 4


def test_a_killed_writer_loses_nothing_that_was_acknowledged(engine, store):
    with workers.working((workers.write, engine, "a"), (workers.write, engine, "b")) as writers:
        heard = {"a": [], "b": []}
        for name, writer in zip("ab", writers, strict=True):
            while len(heard[name]) < 40:
                heard[name].append(writer.pipe.recv())
        for name, writer in zip("ab", writers, strict=True):
            writer.kill()
            heard[name] += writer.said()
    workers.diary.attach(store).ensure_indexes()
    for name, numbers in heard.items():
        last = numbers[-1]
        assert numbers == list(range(1, last + 1))
        assert all(workers.diary.get(f"{name}-{n}") for n in numbers)
        assert workers.diary.get(name)["n"] in (last, last + 1)
        written = {f"{doc['_id']}" for doc in workers.diary.iterate({"words": {"$all": [name]}})}
        assert written in ({f"{name}-{n}" for n in range(1, last + more)} for more in (1, 2))
