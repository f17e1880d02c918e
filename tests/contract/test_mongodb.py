"""What is MongoDB's own: what its driver is told, lost answers, a server that is away, logins, forks and threads."""

import os
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from lossy import Proxy
from ports import MongodbEngine
from pymongo import MongoClient, monitoring
from pymongo.errors import NotPrimaryError, OperationFailure

from chassis import clock, deadline
from chassis.settings import Settings
from chassis.store import Collection, Duplicate, Index, StoreUnavailable, UpdateOne
from chassis.store.engines import open_store
from chassis.store.mongodb.client import DOWN_TIMEOUT_S, REQUEST_TIMEOUT_S, SILENT_TIMEOUT_S, MongodbClient
from chassis.store.mongodb.store import MongodbStore, query
from chassis.testing import capture_logs
from tests import engines
from tests.system.running import eventually

INDEXES = (
    Index("town", "name"),
    Index("at.seen"),
    Index("pending", "slot", partial={"pending": {"$gt": 0}}),
    Index("open", "due", partial={"open": True}),
    Index("email", unique=True, partial={"email": {"$exists": True}}),
    Index("words", multikey=True),
)
MARGIN = 2.0  # seconds that a busy machine may add


class Spy(monitoring.CommandListener, monitoring.ConnectionPoolListener):
    """What every client of this process sends, and how many connections each server has at most."""

    def __init__(self):
        self.commands, self.open, self.most = [], 0, 0

    def started(self, event):
        self.commands.append(event.command)

    def named(self, name):
        return [command for command in self.commands if next(iter(command)) == name]

    def connection_created(self, event):
        self.open += 1
        self.most = max(self.most, self.open)

    def connection_closed(self, event):
        self.open -= 1

    def nothing(self, event):
        """Of no interest."""

    succeeded = failed = pool_created = pool_cleared = pool_closed = pool_ready = nothing
    connection_ready = connection_check_out_started = connection_check_out_failed = nothing
    connection_checked_out = connection_checked_in = nothing


spy = Spy()
monitoring.register(spy)


@pytest.fixture
def database(mongodb):
    """A database of this test's own, as its address and name."""
    engine = MongodbEngine(mongodb, f"test_{clock.new_id().lower()}")
    yield engine
    engine.drop()


@pytest.fixture
def proxy(mongodb):
    proxy = Proxy(mongodb)
    yield proxy
    proxy.close()


@pytest.fixture
def docs(proxy, database):
    """Documents behind the proxy, with one of them; `direct` reaches them without it."""
    store = MongodbStore(proxy.uri, database.database)
    docs = Collection("docs", Index("email", unique=True, partial={"email": {"$exists": True}}))
    docs.attach(store).ensure_indexes()
    docs.insert({"_id": "t", "n": 0})
    docs.direct = database.store()
    yield docs
    store.close()
    docs.direct.close()


def bound(store, *indexes):
    docs = Collection("docs", *indexes)
    docs.attach(store).ensure_indexes()
    return docs


def in_a_request(work, seconds=5.0):
    """Seconds that StoreUnavailable took where somebody waits for the answer."""
    began = time.monotonic()
    with deadline.within(seconds), pytest.raises(StoreUnavailable):
        work()
    return time.monotonic() - began


def test_the_driver_is_told_to_wait_for_the_disk_and_the_majority_whatever_the_address_says(database):
    store = MongodbStore(
        f"{database.uri}?w=1&journal=false&readConcernLevel=local&readPreference=secondary", database.database
    )
    docs = bound(store, Index("n"))
    spy.commands.clear()
    docs.insert({"_id": "1", "n": 1})
    docs.update("1", {"$inc": {"n": 1}})
    docs.bulk_update([UpdateOne("1", {"$inc": {"n": 1}})])
    docs.get("1")
    docs.find({"n": 3})
    docs.delete("1")
    with deadline.within(0.5):
        docs.get("1")
    for name in ("insert", "findAndModify", "update", "delete"):
        (command,) = spy.named(name)
        assert command["writeConcern"] == {"w": "majority", "j": True}, name
        assert 0 < command["maxTimeMS"] <= 4000
    assert len(spy.named("find")) == 3
    for command in spy.named("find"):
        assert command["readConcern"] == {"level": "majority"}
        assert command.get("$readPreference", {"mode": "primary"})["mode"] == "primary"
    assert spy.named("find")[-1]["maxTimeMS"] <= 500
    store.close()


def test_every_search_has_an_index_that_ends_in_the_order_of_its_pages(database):
    store = database.store()
    Collection("boxes", *INDEXES).attach(store).ensure_indexes()
    with MongoClient(database.uri) as client:
        made = {each["name"]: each for each in client[database.database].boxes.list_indexes()}
    store.close()
    found = {
        name: (list(each["key"]), bool(each.get("unique")), query.existing_definition(each)[2])
        for name, each in made.items()
    }
    assert found == {
        "_id_": (["_id"], False, {}),
        "town_name": (["town", "name", "_id"], False, {}),
        "at_seen": (["at.seen", "_id"], False, {}),
        "pending_slot_partial": (["pending", "slot", "_id"], False, {"pending": {"$gt": 0}}),
        "open_due_partial": (["open", "due", "_id"], False, {"open": True}),
        "email_partial": (["email"], True, {"email": {"$exists": True}}),
        "words": (["words", "_id"], False, {}),
    }


def test_a_page_is_one_command_that_enters_the_index_at_its_cursor(database):
    docs = bound(database.store(), Index("town", "name"))
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


def test_an_index_that_is_there_is_not_made_again_and_one_that_was_put_there_by_hand_is_dropped(database):
    bound(database.store(), *INDEXES).store.close()
    with MongoClient(database.uri) as client:
        client[database.database].docs.create_index("x", name="by_hand")
        spy.commands.clear()
        bound(database.store(), *INDEXES).store.close()
        assert not spy.named("createIndexes")
        assert len(spy.named("dropIndexes")) == 1
        assert "by_hand" not in client[database.database].docs.index_information()


def test_processes_that_start_at_once_with_other_indexes_than_before_all_get_them(database):
    bound(database.store(), Index("a"), Index("email", unique=True)).store.close()
    stores = [database.store() for _ in range(6)]
    declared = Index("a", partial={"a": {"$gt": 0}}), Index("b"), Index("email", unique=True)

    def ensure(store):
        while True:
            try:
                return bound(store, *declared)
            except StoreUnavailable:
                pass  # another one's index went away under its hands

    with ThreadPoolExecutor(len(stores)) as pool:
        bounds = list(pool.map(ensure, stores))
    with MongoClient(database.uri) as client:
        assert set(client[database.database].docs.index_information()) == {"_id_", "a_partial", "b", "email"}
    bounds[0].insert({"_id": "1", "email": "x"})
    with pytest.raises(Duplicate):
        bounds[1].insert({"_id": "2", "email": "x"})
    for store in stores:
        store.close()


def test_a_write_whose_answer_is_lost_gives_what_it_would_have_given(docs, proxy):
    proxy.lose("findAndModify", done=True)
    assert docs.update("t", {"$inc": {"n": 1}, "$push": {"list": "x"}}) == {"_id": "t", "n": 1, "list": ["x"]}
    proxy.lose("insert", done=True)
    docs.insert({"_id": "u", "email": "u@x"})
    assert proxy.lost == 2
    assert docs.find() == [{"_id": "t", "n": 1, "list": ["x"]}, {"_id": "u", "email": "u@x"}]


def test_a_write_that_never_arrived_is_not_taken_for_done(docs, proxy):
    proxy.lose("findAndModify", done=False)
    with pytest.raises(StoreUnavailable):
        docs.update("t", {"$inc": {"n": 1}})
    proxy.lose("insert", done=False)
    with pytest.raises(StoreUnavailable):
        docs.insert({"_id": "u"})
    proxy.lose("delete", done=False)
    with pytest.raises(StoreUnavailable):
        docs.delete("t")
    proxy.lose("update", done=False)
    with pytest.raises(StoreUnavailable):
        docs.bulk_update([UpdateOne("t", {"$inc": {"n": 1}})])
    assert proxy.lost == 4
    assert docs.find() == [{"_id": "t", "n": 0}]


def test_a_write_that_was_refused_and_whose_answer_is_lost_is_not_taken_for_done(docs, proxy):
    docs.insert({"_id": "u", "email": "u@x"})
    proxy.lose("findAndModify", done=True)
    with pytest.raises(StoreUnavailable):
        docs.update("t", {"$inc": {"n": 1}}, when={"n": 5})
    proxy.lose("insert", done=True)
    with pytest.raises(StoreUnavailable):
        docs.insert({"_id": "t", "n": 0})
    assert docs.find() == [{"_id": "t", "n": 0}, {"_id": "u", "email": "u@x"}]


def test_a_write_that_another_has_overwritten_meanwhile_is_unknown(docs, proxy):
    proxy.lose("findAndModify", done=True, then=lambda: docs.direct.update(docs, "t", {"$inc": {"n": 10}}, {}))
    with pytest.raises(StoreUnavailable):
        docs.update("t", {"$inc": {"n": 1}})
    assert docs.get("t")["n"] == 11


def test_an_answer_that_is_lost_twice_is_not_waited_for_beyond_the_time_of_a_request(docs, proxy):
    proxy.lose("findAndModify", done=True, then=lambda: proxy.lose("find", done=True, times=100))
    assert in_a_request(lambda: docs.update("t", {"$inc": {"n": 1}})) < 1 + MARGIN
    proxy.lose("", done=True, times=0)
    assert docs.get("t")["n"] == 1


def test_a_read_whose_connection_broke_is_asked_once_more(docs, proxy):
    proxy.lose("find", done=True)
    assert docs.get("t") == {"_id": "t", "n": 0}
    proxy.lose("find", done=False)
    assert docs.find() == [{"_id": "t", "n": 0}]
    assert proxy.lost == 2


@pytest.mark.parametrize("code", [6, 7, 13, 18, 50, 64, 89, 91, 100, 112, 134, 189, 262, 9001, 11600, 11602, 13436])
def test_what_a_server_may_answer_otherwise_later_is_trouble(mongodb, code):
    client = MongodbClient(mongodb, "x", 2)
    with pytest.raises(StoreUnavailable) as caught, client.time_limit(4):
        raise OperationFailure("user:password", code)
    assert "password" not in str(caught.value)
    assert caught.value.retry_after == 1
    with pytest.raises(StoreUnavailable), client.time_limit(4):
        raise NotPrimaryError("stepped down")
    client.close()


def test_a_mistake_in_the_program_is_not_blamed_on_the_engine(mongodb):
    client = MongodbClient(mongodb, "x", 2)
    with pytest.raises(OperationFailure), client.time_limit(4):
        client.database().command("nonsense")
    client.close()


@pytest.fixture
def own_server():
    """A server that this test may stop."""
    server = engines.Engine("mongodb", f"{engines.worker()}-away")
    yield server, server.up()
    server.wipe()


def test_a_server_that_is_paused_or_gone_is_waited_for_once_and_then_costs_less_than_a_second(own_server):
    server, uri = own_server
    docs = bound(MongodbStore(uri, "away"), Index("n"))
    docs.insert({"_id": "t", "n": 0})

    def request():
        """It writes, and whatever becomes of that, looks at what there is and lets go of what it had claimed."""
        try:
            docs.update("t", {"$inc": {"n": 1}})
        finally:
            try:
                docs.get("t")
            finally:
                docs.update("t", {"$set": {"released": True}})

    for stop, go_on, first in ((server.pause, server.resume, REQUEST_TIMEOUT_S), (server.kill, server.start, 1)):
        stop()
        assert in_a_request(request) < first + MARGIN
        took = [in_a_request(work) for work in (request, lambda: docs.get("t"), request, lambda: docs.find({"n": 0}))]
        assert max(took) < 1 + MARGIN, took
        assert min(in_a_request(lambda: docs.get("t"), 0.2) for _ in range(5)) < 0.4, "to the hundredth, not by halves"
        probed = time.monotonic()
        with pytest.raises(StoreUnavailable):
            docs.store.ping()
        assert time.monotonic() - probed < 1 + MARGIN
        go_on()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                assert docs.update("t", {"$set": {"back": True}})
                break
            except StoreUnavailable:
                pass
        assert docs.get("t")["back"]
        assert docs.update("t", {"$unset": {"back": ""}})
    docs.store.close()


def test_a_server_that_hung_once_and_is_slow_now_is_given_its_time_again(docs, proxy):
    """Else one answer that took too long would make every later one too slow, for ever."""
    proxy.delay = 1.2 * REQUEST_TIMEOUT_S
    assert in_a_request(lambda: docs.get("t")) < REQUEST_TIMEOUT_S + MARGIN
    proxy.delay = 0.3
    until, found = time.monotonic() + 30, None
    while time.monotonic() < until and found is None:
        try:
            with deadline.within(5):
                found = docs.get("t")
        except StoreUnavailable:
            pass
    assert found == {"_id": "t", "n": 0}
    with deadline.within(5):
        assert docs.get("t") == found


def test_a_server_that_was_heard_just_now_and_is_gone_is_waited_for_once_and_briefly(own_server):
    server, uri = own_server
    docs = bound(MongodbStore(uri, "gone"))
    docs.insert({"_id": "t"})
    server.kill()
    assert sorted(in_a_request(lambda: docs.get("t")) for _ in range(5))[2] < SILENT_TIMEOUT_S
    docs.store.close()


def test_a_busy_server_has_more_time_than_one_that_is_not_heard(docs, proxy):
    proxy.delay = (SILENT_TIMEOUT_S + REQUEST_TIMEOUT_S) / 2
    with deadline.within(5):
        assert docs.get("t")


def test_one_answer_that_does_not_come_cuts_off_nobody_else(docs, proxy):
    def ask():
        with deadline.within(5):
            return docs.update("t", {"$inc": {"n": 1}})

    def keep_asking(late):
        while not late.done():
            ask()

    proxy.lose("find", done=True, then=lambda: time.sleep(2 * REQUEST_TIMEOUT_S))
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(in_a_request, lambda: docs.get("t"))
        eventually(lambda: proxy.lost)
        proxy.delay = 1.5 * DOWN_TIMEOUT_S
        others = pool.submit(keep_asking, late)
        assert late.result() < REQUEST_TIMEOUT_S + MARGIN
        assert ask()
        others.result()


def test_what_nobody_waits_for_has_more_time(docs, proxy):
    proxy.lose("find", done=True, then=lambda: time.sleep(1.2))
    assert docs.get("t") == {"_id": "t", "n": 0}


def test_a_store_that_was_down_at_first_has_its_unique_indexes_before_anything_else(own_server):
    server, uri = own_server
    server.down()
    docs = Collection("late", Index("email", unique=True))
    with deadline.within(1), pytest.raises(StoreUnavailable):
        docs.attach(MongodbStore(uri, "away")).ensure_indexes()
    server.start()
    docs.insert({"_id": "1", "email": "x"})
    with pytest.raises(Duplicate):
        docs.insert({"_id": "2", "email": "x"})
    docs.store.close()


def test_a_login_that_is_wrong_is_trouble_and_no_password_is_told():
    password = "s3cr3t/p@ss:w%rd"
    server = engines.Engine("mongodb", f"{engines.worker()}-login", f"shop:{password}")
    uri = server.up()
    try:
        right = bound(MongodbStore(uri, "orders"))
        right.insert({"_id": "1"})
        assert right.get("1") == {"_id": "1"}
        right.store.close()
        told = []
        for wrong in (uri.replace("shop:", "shop:x"), f"mongodb://{uri.rpartition('@')[2]}"):
            with pytest.raises(StoreUnavailable) as caught, capture_logs() as lines:
                bound(MongodbStore(wrong, "orders")).insert({"_id": "2"})
            told += [str(lines), *traceback.format_exception(caught.value), repr(caught.value)]
        for secret in ("s3cr3t", password):
            assert not any(secret in each for each in told)
    finally:
        server.wipe()


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
def test_an_address_that_cannot_be_one_ends_the_process_with_a_line_that_does_not_repeat_it(uri):
    with pytest.raises(SystemExit) as caught:
        open_store(Settings.from_environment({"MONGODB_URI": uri}), "orders")
    assert "MONGODB_URI" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_driver_is_imported_only_where_it_is_used(tmp_path):
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


def test_a_store_opened_before_a_fork_refuses_to_work_after_it(database):
    docs = bound(database.store())
    docs.insert({"_id": "1"})
    assert in_a_child(lambda: pytest.raises(RuntimeError, docs.get, "1"))
    assert docs.get("1") == {"_id": "1"}
    docs.store.close()


def test_a_store_made_before_a_fork_and_opened_after_it_works_in_both(database):
    store = database.store()
    assert in_a_child(lambda: bound(store).insert({"_id": "child"}))
    docs = bound(store)
    docs.insert({"_id": "parent"})
    assert {doc["_id"] for doc in docs.find()} == {"child", "parent"}
    store.close()


def in_a_child(work):
    """Whether it ended well in a forked process."""
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
    docs = bound(store)
    docs.insert({"_id": "t", "n": 0})
    spy.most = spy.open = 0

    def work(me):
        return [docs.update("t", {"$inc": {"n": 1}})["n"] for _ in range(10)]

    with ThreadPoolExecutor(40) as pool:
        got = sorted(n for some in pool.map(work, range(40)) for n in some)
    assert got == list(range(1, 401))
    assert 1 < spy.most <= 8 + 2, "those of the heartbeat are not in the pool"
    store.close()
