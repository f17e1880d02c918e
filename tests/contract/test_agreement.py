"""Both engines give the same answers to the same random operations, one after the other and many at once."""

import threading
from copy import deepcopy
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ports import SqliteEngine
from test_store_random import INDEXES, UNIQUE, Model, changes, documents, guards, ids, operations, plain, run

from chassis import clock
from chassis.store import Collection
from chassis.store.mongodb.store import MongodbStore
from tests.sizes import by_form

pytestmark = pytest.mark.timeout(900)

PARTS = 4
RUNS = by_form(75, 465)
AT_ONCE = by_form(50, 150)
CLIENTS = 3
indexes = (*(index for index in INDEXES if index.fields != ("key",)), UNIQUE)
careful = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


@pytest.fixture
def both(mongodb, tmp_path):
    """The same collection on each engine."""
    name = f"test_{clock.new_id().lower()}"
    stores = SqliteEngine(tmp_path).store(), MongodbStore(mongodb, name)
    collections = [Collection("agreed", *indexes) for _ in stores]
    for collection, store in zip(collections, stores, strict=True):
        collection.attach(store).ensure_indexes()
    yield collections
    for store in stores:
        store.close()
    drop(mongodb, name)


def drop(uri, name):
    from pymongo import MongoClient

    with MongoClient(uri) as client:
        client.drop_database(name)


def emptied(collection):
    """All documents, which are gone afterwards."""
    found = collection.find()
    for doc in found:
        collection.delete(doc["_id"])
    return found


@pytest.mark.parametrize("part", range(PARTS))
@settings(careful, max_examples=RUNS)
@given(sequence=st.lists(operations, min_size=5, max_size=30))
def test_engines_agree_on_sequences_of_operations(both, part, sequence):
    sqlite, mongodb = both
    answers = [
        (plain(run(sqlite, operation, *arguments)), plain(run(mongodb, operation, *arguments)))
        for operation, *arguments in sequence
    ]
    left = plain(emptied(sqlite)), plain(emptied(mongodb))
    for number, (one, other) in enumerate(answers):
        assert one == other, sequence[: number + 1]
    assert left[0] == left[1]


@dataclass(frozen=True)
class Call:
    """An operation of one client, when it began and ended, and what it gave."""

    operation: tuple
    began: float
    ended: float
    answer: object


writes = st.one_of(
    st.tuples(st.just("insert"), documents),
    st.tuples(st.just("update"), ids, changes, guards),
    st.tuples(st.just("update"), ids, changes, st.just({})),
    st.tuples(st.just("delete"), ids, guards),
)


@settings(careful, max_examples=AT_ONCE)
@given(clients=st.lists(st.lists(writes, min_size=1, max_size=5), min_size=CLIENTS, max_size=CLIENTS))
def test_concurrent_operations_are_linearizable(both, clients):
    for collection in both:
        history = at_once(collection, clients)
        left = emptied(collection)
        assert could_be(history, Model(), left), history


def at_once(collection, clients):
    history, ready = [], threading.Barrier(len(clients))

    def client(sequence):
        ready.wait()
        for operation in sequence:
            began = clock.monotonic()
            answer = run(collection, *operation)
            history.append(Call(operation, began, clock.monotonic(), plain(answer)))

    threads = [threading.Thread(target=client, args=(sequence,)) for sequence in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return history


def could_be(history, model, left):
    """Whether some order that respects the times gives every answer, and what is left (Wing and Gong, 1993)."""
    if not history:
        return plain(sorted(model.docs.values(), key=lambda doc: doc["_id"])) == plain(left)
    first_end = min(call.ended for call in history)
    for call in history:
        if call.began <= first_end:
            after = deepcopy(model)
            operation, *arguments = deepcopy(call.operation)
            if plain(getattr(after, operation)(*arguments)) == call.answer:
                rest = [other for other in history if other is not call]
                if could_be(rest, after, left):
                    return True
    return False
