"""Collections for the suites of the store."""

from chassis.store import Collection


def created(store, name, *indexes):
    collection = Collection(name, *indexes)
    collection.attach(store).ensure_indexes()
    return collection


def ids(docs):
    return [doc["_id"] for doc in docs]
