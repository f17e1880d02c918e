"""The gauges of outages: they grow while everything fails, and end with the first success."""

import pytest
from prometheus_client import REGISTRY, Gauge

from chassis.observe import metrics
from chassis.observe.outage import FORGET_S, Outage
from chassis.store import Collection, Duplicate, StoreUnavailable
from chassis.store.timed import TimedStore
from chassis.web import request_buffer
from services.orders.metrics import CHECKOUT_BUCKETS_S, DECISIONS

bells = Collection("bells")


@pytest.fixture
def outage(fake_clock):
    return Outage(Gauge("bells_unavailable_seconds", "Bells", registry=None))


def unavailable(access):
    return REGISTRY.get_sample_value("mercato_store_unavailable_seconds", {"access": access})


def test_outage_lasts_from_the_start_of_the_first_failure_to_a_success(outage, fake_clock):
    started_at = fake_clock.monotonic()
    fake_clock.pass_time(2)
    outage.failed(started_at)
    fake_clock.pass_time(8)
    outage.failed(fake_clock.monotonic() - 1)
    assert outage.seconds() == 10
    outage.succeeded()
    assert outage.seconds() == 0


def test_outage_is_over_without_attempts(outage, fake_clock):
    outage.failed(fake_clock.monotonic())
    fake_clock.pass_time(FORGET_S + 1)
    assert outage.seconds() == 0, "an idle process knows nothing"
    outage.failed(fake_clock.monotonic())
    fake_clock.pass_time(3)
    assert outage.seconds() == 3, "the former outage is another one"


def test_store_that_fails_to_write_is_unavailable_although_it_reads(store, fake_clock):
    bells.attach(TimedStore(store)).ensure_indexes()
    store.fail(at=1, after=False)
    with pytest.raises(StoreUnavailable):
        bells.insert({"_id": "b1"})
    fake_clock.pass_time(20)
    bells.get("b1")
    assert (unavailable("write"), unavailable("read")) == (20, 0)
    bells.insert({"_id": "b1"})
    assert unavailable("write") == 0


def test_rejected_write_is_no_outage(store, fake_clock):
    bells.attach(TimedStore(store)).ensure_indexes()
    bells.insert({"_id": "b1"})
    with pytest.raises(Duplicate):
        bells.insert({"_id": "b1"})
    fake_clock.pass_time(20)
    assert unavailable("write") == 0


@pytest.mark.parametrize(
    ("target", "internal"),
    [
        (b"POST /internal/reserve_stock", True),
        (b"POST /internal/reserve_stock?x=1", True),
        (b"POST /api/orders", False),
        (b"GET /api/internal/", False),
        (b"GET /?next=/internal/", False),
        (b"", False),
    ],
)
def test_internal_requests_are_told_from_public_ones(target, internal):
    assert request_buffer.is_internal(target + b" HTTP/1.1\r\n\r\n") is internal


@pytest.mark.parametrize("buckets", [metrics.BACKGROUND_BUCKETS_S, CHECKOUT_BUCKETS_S])
def test_durations_of_outages_are_read_within_half_of_their_length(buckets):
    assert list(buckets) == sorted(set(buckets))
    long = [bound for bound in buckets if bound >= 20]
    assert max(after / before for before, after in zip(long, long[1:], strict=False)) <= 1.5
    assert long[-1] >= 3600


def test_bounds_of_the_last_release_and_of_the_objective_remain():
    assert {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900} <= set(metrics.BACKGROUND_BUCKETS_S)
    assert {0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10, 60, 900} <= set(CHECKOUT_BUCKETS_S)


def test_counters_begin_at_zero_so_that_the_first_of_each_is_seen():
    for outcome in DECISIONS:
        found = REGISTRY.get_sample_value("mercato_checkout_duration_seconds_count", {"outcome": outcome})
        assert found is not None
    for audience in ("public", "internal"):
        name = "mercato_http_server_requests_shed_total"
        assert REGISTRY.get_sample_value(name, {"audience": audience}) is not None
