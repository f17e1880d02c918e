"""Idempotency keys: one piece of work per key, done once and under one id."""

import pytest

from chassis.errors import DomainError
from chassis.settings import settings
from chassis.web import idempotency
from chassis.web.response import WsgiResponse


@pytest.fixture(autouse=True)
def bound(store, fake_clock):
    idempotency.records.attach(store).ensure_indexes()


def run(work, key="k1"):
    return idempotency.run_once(key, "u1", "POST /api/orders", "", b"{}", work, pytest.fail)


@pytest.fixture
def crashed_id(fake_clock):
    """The id that the first attempt of the key had, which crashed and whose lease has expired."""
    created_ids = []

    def crash(attempt):
        created_ids.append(attempt.created_id)
        raise SystemExit

    with pytest.raises(SystemExit):
        run(crash)
    fake_clock.pass_time(settings().lease + 1)
    return created_ids[0]


def recorded(created_ids, status):
    """Return work that notes the id of its attempt and responds with this status."""

    def work(attempt):
        created_ids.append(attempt.created_id)
        return WsgiResponse(b"{}", status)

    return work


def test_interrupted_work_is_repeated_under_the_same_id(crashed_id):
    created_ids = []
    run(recorded(created_ids, 201))
    assert created_ids == [crashed_id]


def test_an_error_of_a_retry_keeps_the_id_that_an_earlier_attempt_may_have_used(crashed_id):
    created_ids = []
    for _ in range(2):
        assert run(recorded(created_ids, 409)).status_code == 409
    assert created_ids == [crashed_id] * 2


def test_key_in_use_is_rejected():
    def repeat(attempt):
        with pytest.raises(DomainError) as error:
            run(repeat)
        assert error.value.kind == "key_in_use"
        return WsgiResponse(b"{}", 201)

    assert run(repeat).status_code == 201


def test_request_past_its_lease_returns_the_response_of_its_successor(fake_clock):
    def slow(attempt):
        fake_clock.pass_time(settings().lease + 1)
        assert run(lambda attempt: WsgiResponse(b"pending", 202)).status_code == 202
        return WsgiResponse(b"confirmed", 201)

    response = run(slow)
    assert (response.status_code, response.get_data()) == (202, b"pending")


def test_request_past_its_lease_is_rejected_while_no_response_is_known(fake_clock):
    def crash(attempt):
        raise SystemExit

    def slow(attempt):
        fake_clock.pass_time(settings().lease + 1)
        with pytest.raises(SystemExit):
            run(crash)
        return WsgiResponse(b"confirmed", 201)

    with pytest.raises(DomainError) as error:
        run(slow)
    assert error.value.kind == "key_in_use"


def test_request_that_erases_its_own_record_returns_its_response():
    def erase(attempt):
        idempotency.forget("u1")
        return WsgiResponse(b"", 204)

    assert run(erase).status_code == 204
