"""The Kafka engine without a broker, with one that hangs or dies, and with wrong settings."""

import gc
import socket
import threading
import time
from pathlib import Path

import pytest
from kafka_topics import NOBODY, new_name, read_until, within

from chassis.bus import BusUnavailable, Record, Topic
from chassis.bus.engines import open_bus
from chassis.bus.kafka.bus import KafkaBus
from chassis.settings import Settings
from chassis.testing import capture_logs
from tests import engines


@pytest.fixture(scope="module")
def broker():
    """A broker that tests may stop, and its address."""
    engine = engines.Engine("kafka", f"{engines.worker()}-faults")
    address = engine.up()
    yield engine, address
    engine.wipe()


@pytest.mark.any_engine
def test_without_broker_calls_fail_in_time_and_leak_nothing():
    bus = KafkaBus(NOBODY)
    member = bus.consumer("g", ["t"])
    record = Record("t", "k", b"x" * 100_000)

    def attempt():
        assert isinstance(within(15, lambda: bus.publish([record], 1))[0], BusUnavailable)

    attempt()
    gc.collect()
    before = len(threading.enumerate()), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        attempt()
    for operation in (bus.ping, lambda: bus.ensure_topics([Topic("t")]), lambda: member.poll(1, 1)):
        with pytest.raises(BusUnavailable):
            within(20, operation)
    member.heartbeat()
    gc.collect()
    assert (len(threading.enumerate()), len(list(Path("/proc/self/fd").iterdir()))) == before
    member.close()
    bus.close()


@pytest.mark.any_engine
def test_server_that_never_answers_times_out():
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        bus = KafkaBus(f"127.0.0.1:{silent_server.getsockname()[1]}")
        assert isinstance(within(15, lambda: bus.publish([Record("t", "k", b"")], 2))[0], BusUnavailable)
        with pytest.raises(BusUnavailable):
            within(20, bus.ping)
        bus.close()


def test_threads_wait_for_a_broker_together():
    bus, outcomes = KafkaBus(NOBODY), []
    threads = [
        threading.Thread(target=lambda: outcomes.extend(bus.publish([Record("t", "k", b"")], 2))) for _ in range(4)
    ]

    def publish():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    within(20, publish)
    assert len(outcomes) == 4 and all(isinstance(outcome, BusUnavailable) for outcome in outcomes)
    bus.close()


def test_record_that_timed_out_is_never_delivered(broker):
    engine, address = broker
    bus, topic = KafkaBus(address), new_name()
    bus.ensure_topics([Topic(topic, 1)])
    assert bus.publish([Record(topic, "k", b"early")], 30) == [None]
    engine.kill()
    outcomes = within(20, lambda: bus.publish([Record(topic, "k", b"late"), Record(topic, "other", b"late")], 2))
    assert all(isinstance(outcome, BusUnavailable) for outcome in outcomes)
    engine.start()
    time.sleep(2)  # a producer that still existed would deliver it now
    until = time.monotonic() + 60
    while bus.publish([Record(topic, "k", b"now")], 30) != [None]:
        assert time.monotonic() < until
    found = read_until(bus, topic, lambda found: b"now" in [record.value for record in found], extra=1)
    values = [record.value for record in found]
    bus.close()
    assert b"late" not in values
    assert values[0] == b"early" and values[-1] == b"now"


def test_paused_broker_delays_nobody_and_keeps_the_order(broker):
    engine, address = broker
    bus, topic, keys, failed, longest = KafkaBus(address), new_name(), "abcdef", 0, 0.0
    bus.ensure_topics([Topic(topic, 2)])
    until, asleep = time.monotonic() + 90, threading.Event()

    def sleep():
        for _ in range(2):
            time.sleep(1)
            engine.pause()
            time.sleep(4)
            engine.resume()
        asleep.set()

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    step = dict.fromkeys(keys, 0)
    while (not asleep.is_set() or min(step.values()) < 20) and time.monotonic() < until:
        started = time.monotonic()
        outcomes = bus.publish([Record(topic, key, str(step[key]).encode()) for key in keys], 2)
        longest = max(longest, time.monotonic() - started)
        for key, outcome in zip(keys, outcomes, strict=True):
            step[key] += outcome is None  # otherwise repeat the same, as the relay does
            failed += outcome is not None
    sleeper.join()
    acknowledged = sum(step.values())
    found = read_until(
        bus, topic, lambda found: len({(record.key, record.value) for record in found}) >= acknowledged, extra=1
    )
    bus.close()
    assert failed and longest < 20
    for key in keys:
        values = [int(record.value) for record in found if record.key == key]
        assert list(dict.fromkeys(values)) == list(range(step[key])), "in order and complete"
    assert len(found) - sum(step.values()) <= failed, "only unacknowledged records are duplicated"


@pytest.mark.any_engine
def test_log_is_short_and_has_no_secret():
    settings = Settings(
        kafka_bootstrap_servers=NOBODY,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="mercato",
        kafka_sasl_password="correct-horse",
    )
    with capture_logs() as lines:
        bus = open_bus(settings)
        for _ in range(3):
            outcomes = bus.publish([Record("t", "k", b"")], 0.5)
            with pytest.raises(BusUnavailable) as raised:
                bus.ping()
        bus.close()
    assert 1 <= len(lines) <= 2
    assert "correct-horse" not in f"{lines} {outcomes} {raised.value!r} {bus!r}"


def test_sasl_without_mechanism_is_rejected():
    with pytest.raises(SystemExit, match="KAFKA_SASL_MECHANISM"):
        open_bus(Settings(kafka_bootstrap_servers=NOBODY, kafka_security_protocol="SASL_SSL"))
