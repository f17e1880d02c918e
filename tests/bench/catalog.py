"""Time of lists, products and searches over a large catalog against a small one, and the size of the indexes.

Measured are the functions behind the routes, in this process: HTTP costs the same for both. SQLite works in the
process, too: its times are CPU times, which other processes of the machine do not lengthen.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from chassis.money import Money
from chassis.store import Collection, Store
from chassis.store.mongodb.store import MongodbStore
from chassis.store.sqlite.store import SqliteStore
from services.products import domain, listing, repository, search_text, searching, vocabulary
from services.products.documents import new_product
from services.products.listing import Listing
from tests import engines

SMALL, LARGE, SHORT_LARGE, MONGODB_LARGE = 1_000, 50_000, 5_000, 10_000
MAX_RATIO, MAX_INDEX_RATIO, GOAL_P95_MS = 2.0, 4.0, 30.0
ROUNDS, SHORT_ROUNDS = 200, 60
BATCH = 1000
CATEGORIES, VENDORS, WORDS = 20, 50, 4000
"""WORDS is the number of different words in descriptions; each name has a word of its own."""
COMMON = "quality"
"""A word of every description."""
PAGE = 20
TYPO = "search with a typo"
"""Has no bar for the ratio: it compares a word with all words, and names have as many as there are products."""


def run(short: bool) -> list[dict[str, Any]]:
    """Measure SQLite, and MongoDB in the full form where there is one.

    MongoDB has no bar: the engine of tests sorts all matches of a filter, where MongoDB reads its index in order.
    """
    large, rounds = (SHORT_LARGE, SHORT_ROUNDS) if short else (LARGE, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        rows = _compare(
            "SQLite", lambda size: SqliteStore(Path(folder) / f"{size}.db"), large, rounds, time.thread_time
        )
    if not short and engines.folder():
        mongodb = engines.Engine("mongodb", "bench")
        try:
            uri = mongodb.up()
            rows += _compare(
                "MongoDB",
                lambda size: MongodbStore(uri, f"catalog{size}"),
                MONGODB_LARGE,
                SHORT_ROUNDS,
                time.perf_counter,
            )
        finally:
            mongodb.wipe()
    return rows


def _compare(
    engine: str, open_store: Callable[[int], Store], large: int, rounds: int, now_s: Callable[[], float]
) -> list[dict[str, Any]]:
    times_ms: dict[str, list[list[float]]] = {}
    for size in (SMALL, large):
        with _catalog(open_store(size), size) as store:
            for name, work in _operations(size).items():
                times_ms.setdefault(name, []).append(_times_ms(work, rounds, now_s))
            index_ratio = _index_ratio(store) if isinstance(store, SqliteStore) else None
    rows: list[dict[str, Any]] = []
    has_bars = index_ratio is not None
    for name, (few, many) in times_ms.items():
        ratio, p95_ms = statistics.median(many) / statistics.median(few), statistics.quantiles(many, n=20)[-1]
        bar = {} if name == TYPO or not has_bars else {"bar": f"<= {MAX_RATIO:g}", "ok": ratio <= MAX_RATIO}
        goal = {"bar": f"<= {GOAL_P95_MS:g}", "goal": True, "ok": p95_ms <= GOAL_P95_MS} if has_bars else {}
        rows += [
            {"name": f"{engine}: {name}, {large:,} products against {SMALL:,}", "value": ratio, "unit": "x", **bar},
            {"name": f"{engine}: {name}, {large:,} products, p95", "value": p95_ms, "unit": "ms", **goal},
        ]
    if has_bars:
        bar = {"bar": f"<= {MAX_INDEX_RATIO:g}", "ok": index_ratio <= MAX_INDEX_RATIO}
        rows.append({"name": f"{engine}: indexes against documents", "value": index_ratio, "unit": "x", **bar})
    return rows


def _operations(size: int) -> dict[str, Callable[[], Any]]:
    """Return what is measured; each call takes another product."""
    numbers = cycle(Random(7).sample(range(size), 500))
    by_relevance = Listing(sort=searching.RELEVANCE)

    def search(query: Callable[[], str]) -> Callable[[], Any]:
        return lambda: searching.find(by_relevance, search_text.split(query()), PAGE, None, False)

    def name() -> str:
        return _details(next(numbers)).name

    def typo() -> str:
        word = _word(WORDS + next(numbers))
        return word[:2] + word[3] + word[2] + word[4:]

    return {
        "list": lambda: listing.find(Listing(), PAGE, None, False),
        "list of a category by price": lambda: listing.find(
            Listing({"category": "Category 7", "currency": "EUR"}, "-price"), PAGE, None, False
        ),
        "product": lambda: repository.get_published(_id(next(numbers))),
        "search of a name": search(name),
        "search of a word of every product": search(lambda: COMMON),
        TYPO: search(typo),
    }


def _times_ms(work: Callable[[], Any], rounds: int, now_s: Callable[[], float]) -> list[float]:
    for _ in range(3):
        assert work()
    found = []
    for _ in range(rounds):
        began_s = now_s()
        work()
        found.append(1000 * (now_s() - began_s))
    return found


@contextmanager
def _catalog(store: Store, size: int) -> Iterator[Store]:
    collections = (repository.products, vocabulary.words)
    for collection in collections:
        collection.attach(store).ensure_indexes()
    vocabulary.forget()
    docs = map(_product, range(size))
    words = {word for number in range(size) for word in _details(number).words() if vocabulary.is_correctable(word)}
    _insert(store, repository.products, docs)
    _insert(store, vocabulary.words, ({"_id": word, "addedAt": "2026"} for word in sorted(words)))
    try:
        yield store
    finally:
        vocabulary.forget()
        store.close()


def _insert(store: Any, collection: Collection, docs: Iterable[dict[str, Any]]) -> None:
    """Insert documents in batches: one by one, 50,000 would take minutes."""
    versioned = ({**collection.versions.new_document(doc)} for doc in docs)
    while batch := list(islice(versioned, BATCH)):
        if isinstance(store, MongodbStore):
            store._docs(collection).insert_many(batch)
            continue
        table = store._table(collection)

        def work(db: Any, batch: Any = batch, table: Any = table) -> None:
            from chassis.store.sqlite.table import to_json

            for doc in batch:
                db.execute(table.insert, (doc["_id"], to_json(doc)))
                table.update_multikeys(db, {}, doc)

        store._file.write(work)


def _index_ratio(store: SqliteStore) -> float:
    """Return the bytes of all indexes of the products, by those of their documents."""
    query = "SELECT name, sum(pgsize) FROM dbstat WHERE name LIKE '%products%' GROUP BY name"
    sizes = dict(store._file.read(query))
    return sum(bytes for name, bytes in sizes.items() if name != "products") / sizes["products"]


def _product(number: int) -> dict[str, Any]:
    """Return a product whose event is published."""
    product = new_product(_id(number), _details(number), Money(100 + number % 9000, "EUR"), number % 7)
    return {**product, "outbox": [], "pending": 0}


def _id(number: int) -> str:
    return f"01M8Q4TK2ANRKXNJG{number:09}"


@cache
def _word(number: int) -> str:
    letters = Random(number)
    pairs = ("".join((letters.choice("bcdfglmnprst"), letters.choice("aeiou"))) for _ in range(3 + number % 4))
    return "".join(pairs) + "xvz"[number % 3]


def _details(number: int) -> domain.Details:
    pick = Random(number)
    name = f"{_word(WORDS + number).title()} {_word(pick.randrange(WORDS))}"
    description = " ".join([COMMON, *(_word(pick.randrange(WORDS)) for _ in range(40))])
    tags = tuple(f"tag {pick.randrange(100)}" for _ in range(2))
    return domain.Details(name, description, f"Category {number % CATEGORIES}", f"Vendor {number % VENDORS}", tags)
