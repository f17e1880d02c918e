"""The MongoDB engine: lost responses, a server that is slow, hangs or is away, and rejected logins."""

import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from mongodb_spy import MARGIN, created, in_a_request
from pymongo.errors import NotPrimaryError, OperationFailure

from chassis import deadline
from chassis.store import Collection, Duplicate, Index, StoreUnavailable, UpdateOne
from chassis.store.mongodb.client import DOWN_TIMEOUT_S, REQUEST_TIMEOUT_S, SILENT_TIMEOUT_S, MongodbClient
from chassis.store.mongodb.store import MongodbStore
from chassis.testing import capture_logs
from tests import engines
from tests.system.running import eventually


@pytest.fixture
def docs(proxy, database):
    """A collection behind the proxy, with one document; `direct` is a store without the proxy."""
    store = MongodbStore(proxy.uri, database.database)
    docs = Collection("docs", Index("email", unique=True, partial={"email": {"$exists": True}}))
    docs.attach(store).ensure_indexes()
    docs.insert({"_id": "t", "n": 0})
    docs.direct = database.store()
    yield docs
    store.close()
    docs.direct.close()


@pytest.fixture
def own_server():
    """A server that the test may stop."""
    server = engines.Engine("mongodb", f"{engines.worker()}-away")
    yield server, server.up()
    server.wipe()


def test_write_with_lost_response_returns_its_result(docs, proxy):
    proxy.lose("findAndModify", done=True)
    assert docs.update("t", {"$inc": {"n": 1}, "$push": {"list": "x"}}) == {"_id": "t", "n": 1, "list": ["x"]}
    proxy.lose("insert", done=True)
    docs.insert({"_id": "u", "email": "u@x"})
    assert proxy.lost == 2
    assert docs.find() == [{"_id": "t", "n": 1, "list": ["x"]}, {"_id": "u", "email": "u@x"}]


def test_write_that_never_arrived_is_unavailable(docs, proxy):
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


def test_rejected_write_with_lost_response_is_unavailable(docs, proxy):
    docs.insert({"_id": "u", "email": "u@x"})
    proxy.lose("findAndModify", done=True)
    with pytest.raises(StoreUnavailable):
        docs.update("t", {"$inc": {"n": 1}}, when={"n": 5})
    proxy.lose("insert", done=True)
    with pytest.raises(StoreUnavailable):
        docs.insert({"_id": "t", "n": 0})
    assert docs.find() == [{"_id": "t", "n": 0}, {"_id": "u", "email": "u@x"}]


def test_overwritten_write_with_lost_response_is_unavailable(docs, proxy):
    proxy.lose("findAndModify", done=True, then=lambda: docs.direct.update(docs, "t", {"$inc": {"n": 10}}, {}))
    with pytest.raises(StoreUnavailable):
        docs.update("t", {"$inc": {"n": 1}})
    assert docs.get("t")["n"] == 11


def test_twice_lost_response_fails_within_request_timeout(docs, proxy):
    proxy.lose("findAndModify", done=True, then=lambda: proxy.lose("find", done=True, times=100))
    assert in_a_request(lambda: docs.update("t", {"$inc": {"n": 1}})) < 1 + MARGIN
    proxy.lose("", done=True, times=0)
    assert docs.get("t")["n"] == 1


def test_read_is_repeated_once_after_a_broken_connection(docs, proxy):
    proxy.lose("find", done=True)
    assert docs.get("t") == {"_id": "t", "n": 0}
    proxy.lose("find", done=False)
    assert docs.find() == [{"_id": "t", "n": 0}]
    assert proxy.lost == 2


@pytest.mark.parametrize("code", [6, 7, 13, 18, 50, 64, 89, 91, 100, 112, 134, 189, 262, 9001, 11600, 11602, 13436])
def test_error_that_may_go_away_is_unavailable(mongodb, code):
    client = MongodbClient(mongodb, "x", 2)
    with pytest.raises(StoreUnavailable) as caught, client.time_limit(4):
        raise OperationFailure("user:password", code)
    assert "password" not in str(caught.value)
    assert caught.value.retry_after == 1
    with pytest.raises(StoreUnavailable), client.time_limit(4):
        raise NotPrimaryError("stepped down")
    client.close()


def test_mistake_in_the_program_is_not_blamed_on_the_engine(mongodb):
    client = MongodbClient(mongodb, "x", 2)
    with pytest.raises(OperationFailure), client.time_limit(4):
        client.database().command("nonsense")
    client.close()


def test_absent_server_is_waited_for_only_once(own_server):
    server, uri = own_server
    docs = created(MongodbStore(uri, "away"), Index("n"))
    docs.insert({"_id": "t", "n": 0})

    def request():
        """Write; whatever happens, read and write again, as a request that releases its claim."""
        try:
            docs.update("t", {"$inc": {"n": 1}})
        finally:
            try:
                docs.get("t")
            finally:
                docs.update("t", {"$set": {"released": True}})

    for stop, recover, first_s in ((server.pause, server.resume, REQUEST_TIMEOUT_S), (server.kill, server.start, 1)):
        stop()
        assert in_a_request(request) < first_s + MARGIN
        durations = [
            in_a_request(work) for work in (request, lambda: docs.get("t"), request, lambda: docs.find({"n": 0}))
        ]
        assert max(durations) < 1 + MARGIN, durations
        assert min(in_a_request(lambda: docs.get("t"), 0.2) for _ in range(5)) < 0.4, (
            "checked each 10 ms, not each half second"
        )
        probed = time.monotonic()
        with pytest.raises(StoreUnavailable):
            docs.store.ping()
        assert time.monotonic() - probed < 1 + MARGIN
        recover()
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


def test_slow_server_gets_its_full_time_again(docs, proxy):
    """Otherwise one late response would make every later request time out, forever."""
    proxy.delay = 1.2 * REQUEST_TIMEOUT_S
    assert in_a_request(lambda: docs.get("t")) < REQUEST_TIMEOUT_S + MARGIN
    proxy.delay = 0.3
    until, found = time.monotonic() + 30, None
    while time.monotonic() < until and found is None:
        try:
            with deadline.within(20):
                found = docs.get("t")
        except StoreUnavailable:
            pass
    assert found == {"_id": "t", "n": 0}
    with deadline.within(20):
        assert docs.get("t") == found


def test_server_that_just_died_is_waited_for_briefly(own_server):
    server, uri = own_server
    docs = created(MongodbStore(uri, "gone"))
    docs.insert({"_id": "t"})
    server.kill()
    assert sorted(in_a_request(lambda: docs.get("t")) for _ in range(5))[2] < SILENT_TIMEOUT_S
    docs.store.close()


def test_busy_server_has_more_time_than_a_silent_one(docs, proxy):
    proxy.delay = (SILENT_TIMEOUT_S + REQUEST_TIMEOUT_S) / 2
    with deadline.within(20):
        assert docs.get("t")


def test_one_missing_response_shortens_no_other_request(docs, proxy):
    def request():
        with deadline.within(20):
            return docs.update("t", {"$inc": {"n": 1}})

    def keep_requesting(late):
        while not late.done():
            request()

    proxy.lose("find", done=True, then=lambda: time.sleep(2 * REQUEST_TIMEOUT_S))
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(in_a_request, lambda: docs.get("t"))
        eventually(lambda: proxy.lost)
        proxy.delay = 1.5 * DOWN_TIMEOUT_S
        others = pool.submit(keep_requesting, late)
        assert late.result() < REQUEST_TIMEOUT_S + MARGIN
        assert request()
        others.result()


def test_background_work_has_more_time(docs, proxy):
    proxy.lose("find", done=True, then=lambda: time.sleep(1.2))
    assert docs.get("t") == {"_id": "t", "n": 0}


def test_store_that_was_down_has_its_indexes_before_any_write(own_server):
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


def test_wrong_login_is_unavailable_and_leaks_no_password():
    password = "s3cr3t/p@ss:w%rd"
    server = engines.Engine("mongodb", f"{engines.worker()}-login", f"shop:{password}")
    uri = server.up()
    try:
        right = created(MongodbStore(uri, "orders"))
        right.insert({"_id": "1"})
        assert right.get("1") == {"_id": "1"}
        right.store.close()
        messages = []
        for wrong in (uri.replace("shop:", "shop:x"), f"mongodb://{uri.rpartition('@')[2]}"):
            with pytest.raises(StoreUnavailable) as caught, capture_logs() as lines:
                created(MongodbStore(wrong, "orders")).insert({"_id": "2"})
            messages += [str(lines), *traceback.format_exception(caught.value), repr(caught.value)]
        for secret in ("s3cr3t", password):
            assert not any(secret in each for each in messages)
    finally:
        server.wipe()
