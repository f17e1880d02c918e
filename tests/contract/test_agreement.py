"""Both engines give the same results for the same random operations, in sequence and concurrently."""

import threading
from copy import deepcopy
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ports import SqliteEngine
from test_store_random import INDEXES, UNIQUE, Model, documents, guards, ids, operations, plain, run, updates

from chassis import clock
from chassis.store import Collection
from chassis.store.mongodb.store import MongodbStore
from tests.sizes import by_form

pytestmark = pytest.mark.timeout(900)

PARTS = 4
SEQUENCES = by_form(75, 465)
HISTORIES = by_form(50, 150)
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


def drain(collection):
    """Return all documents, and delete them."""
    found = collection.find()
    for doc in found:
        collection.delete(doc["_id"])
    return found


@pytest.mark.parametrize("part", range(PARTS))
@settings(careful, max_examples=SEQUENCES)
@given(sequence=st.lists(operations, min_size=5, max_size=30))
def test_engines_agree_on_sequences_of_operations(both, part, sequence):
    sqlite, mongodb = both
    results = [
        (plain(run(sqlite, operation, *arguments)), plain(run(mongodb, operation, *arguments)))
        for operation, *arguments in sequence
    ]
    left = plain(drain(sqlite)), plain(drain(mongodb))
    for number, (one, other) in enumerate(results):
        assert one == other, sequence[: number + 1]
    assert left[0] == left[1]


@dataclass(frozen=True)
class Call:
    """An operation of one client, with its start, end and result."""

    operation: tuple
    started: float
    ended: float
    result: object


writes = st.one_of(
    st.tuples(st.just("insert"), documents),
    st.tuples(st.just("update"), ids, updates, guards),
    st.tuples(st.just("update"), ids, updates, st.just({})),
    st.tuples(st.just("delete"), ids, guards),
)


@settings(careful, max_examples=HISTORIES)
@given(clients=st.lists(st.lists(writes, min_size=1, max_size=5), min_size=CLIENTS, max_size=CLIENTS))
def test_concurrent_operations_are_linearizable(both, clients):
    for collection in both:
        history = run_concurrently(collection, clients)
        left = drain(collection)
        assert is_linearizable(history, Model(), left), history


def run_concurrently(collection, clients):
    history, ready = [], threading.Barrier(len(clients))

    def client(sequence):
        ready.wait()
        for operation in sequence:
            started = clock.monotonic()
            result = run(collection, *operation)
            history.append(Call(operation, started, clock.monotonic(), plain(result)))

    threads = [threading.Thread(target=client, args=(sequence,)) for sequence in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return history


def is_linearizable(history, model, left):
    """Return whether an order that respects the times explains every result and what is left (Wing and Gong, 1993)."""
    if not history:
        return plain(sorted(model.docs.values(), key=lambda doc: doc["_id"])) == plain(left)
    first_end = min(call.ended for call in history)
    for call in history:
        if call.started <= first_end:
            after = deepcopy(model)
            operation, *arguments = deepcopy(call.operation)
            if plain(getattr(after, operation)(*arguments)) == call.result:
                rest = [other for other in history if other is not call]
                if is_linearizable(rest, after, left):
                    return True
    return False
