"""The internals of Flask, gunicorn and kafka-python that the chassis uses. An upgrade that changes one fails here."""

import inspect

import flask
import kafka
import pytest
from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.http.unreader import Unreader
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import PollableMethodQueue, TConn, ThreadWorker
from kafka.cluster import ClusterMetadata
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import BaseCoordinator
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.partitioner.default import murmur2
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.producer.sender import Sender

from chassis.web.response import WsgiResponse

SIGNATURES = [
    # chassis/web/worker.py overrides these
    (ThreadWorker.get_thread_pool, "(self)"),
    (ThreadWorker.handle_exit, "(self, sig, frame)"),
    (ThreadWorker.set_accept_enabled, "(self, enabled)"),
    (ThreadWorker.accept, "(self, listener)"),
    (ThreadWorker.enqueue_req, "(self, conn)"),
    (ThreadWorker.murder_pending, "(self)"),
    (ThreadWorker.wait_for_and_dispatch_events, "(self, timeout)"),
    (ThreadWorker.finish_request, "(self, conn, fs)"),
    (ThreadWorker.handle_request, "(self, req, conn)"),
    (Worker.handle_error, "(self, req, client, addr, exc)"),
    (TConn.__init__, "(self, cfg, sock, client, server)"),
    (TConn.init, "(self)"),
    (TConn.close, "(self, graceful=False)"),
    (util.write_error, "(sock, status_int, reason, mesg)"),
    (Logger.setup, "(self, cfg)"),
    # chassis/web/worker.py calls these
    (ThreadWorker.handle, "(self, conn)"),
    (PollableMethodQueue.defer, "(self, callback, *args)"),
    (Unreader.take_buffered, "(self)"),
    (Unreader.unread, "(self, data)"),
    (util.close, "(sock)"),
    (util.write_nonblock, "(sock, data, chunked=False)"),
    # chassis/bus/kafka/consumer.py replaces this
    (ConsumerCoordinator.poll, "(self, timeout_ms=None)"),
    # chassis/bus/kafka/consumer.py calls these
    (ConsumerCoordinator.need_rejoin, "(self)"),
    (BaseCoordinator.stable, "(self)"),
    (BaseCoordinator.request_rejoin, "(self)"),
    (BaseCoordinator.ensure_active_group_async, "(self, timeout_ms=None)"),
    (BaseCoordinator.poll_heartbeat, "(self)"),
    (ClusterMetadata.request_update, "(self)"),
    (KafkaConnectionManager.call_soon, "(self, coro, *args)"),
    (KafkaConnectionManager.run, "(self, coro, *args)"),
    (KafkaConnectionManager.wait_for, "(self, future, timeout_ms)"),
    (NetworkSelector.run, "(self, coro, *args)"),
    (Future.failed, "(self)"),
    # chassis/bus/kafka/producer.py calls these
    (RecordAccumulator.append, "(self, tp, timestamp_ms, key, value, headers, now=None, abort_on_new_batch=False)"),
    (Sender.wakeup, "(self)"),
    (Sender.force_close, "(self)"),
    (Sender.join, "(self, timeout=None)"),
    (murmur2, "(data)"),
]

ATTRIBUTES = [
    # (function, the names that it reads, sets or calls)
    (Worker.__init__, "app alive cfg log sockets"),
    (ThreadWorker.__init__, "method_queue nr_conns poller tpool"),
    (ThreadWorker.init_process, "get_thread_pool poller tpool"),
    (ThreadWorker.run, "alive murder_pending set_accept_enabled"),
    (ThreadWorker.set_accept_enabled, "accept poller sockets"),
    (ThreadWorker.on_client_socket_readable, "enqueue_req"),
    (ThreadWorker.finish_request, "close nr_conns"),
    (TConn.__init__, "cfg data_ready parser sock"),
    (TConn.init, "parser"),
    (Worker.handle_error, "util write_error"),
    (Logger.__init__, "error_log setup"),
    (Arbiter.reap_workers, "APP_LOAD_ERROR HaltServer"),
    (kafka.KafkaConsumer.__init__, "_client _cluster _coordinator _manager _net"),
    (kafka.KafkaConsumer._poll_once, "_coordinator poll"),
    (Future.__init__, "exception is_done"),
    (CooperativeStickyAssignor.__init__, "member_assignment"),
    (kafka.KafkaProducer.__init__, "_accumulator _sender"),
    (KafkaNetClient.cluster.fget, "cluster"),
    (ClusterMetadata.__init__, "config"),
]


@pytest.mark.parametrize(("function", "signature"), SIGNATURES, ids=lambda each: getattr(each, "__qualname__", ""))
def test_function_of_a_library_has_the_signature_that_we_use(function, signature):
    assert str(inspect.signature(function)) == signature


@pytest.mark.parametrize(("function", "names"), ATTRIBUTES, ids=lambda each: getattr(each, "__qualname__", ""))
def test_function_of_a_library_uses_the_attributes_that_we_use(function, names):
    assert set(names.split()) - set(function.__code__.co_names) == set()


def test_setting_for_topic_creation_is_read_behind_the_client():
    """`Cluster.connect` sets it there, because kafka-python drops it on its way."""
    assert ClusterMetadata.DEFAULT_CONFIG["allow_auto_create_topics"] is True
    assert "allow_auto_create_topics" in inspect.getsource(ClusterMetadata)


def test_network_client_has_the_setting_for_slow_tasks():
    assert "slow_task_threshold_secs" in NetworkSelector.DEFAULT_CONFIG


def test_accumulator_returns_future_is_full_is_new():
    future, is_full, is_new, _ = RecordAccumulator().append(kafka.TopicPartition("t", 0), None, b"k", b"v", [])
    assert (future.is_done, is_full, is_new) == (False, False, True)


def test_flask_keeps_hooks_where_the_app_looks_for_them():
    app = flask.Flask("test")
    assert app._got_first_request is False
    with app.test_request_context():
        assert flask.globals._cv_request.get()._after_request_functions == []


def test_response_made_without_its_constructor_equals_one_made_by_it():
    headers = {"Location": "/api/orders/1", "ETag": '"1-a"'}
    ours = WsgiResponse.of_json(b"{}", 201, headers)
    made = WsgiResponse([b"{}"], 201, {**headers, "Content-Type": "application/json", "Content-Length": "2"})
    assert vars(ours) == vars(made)
