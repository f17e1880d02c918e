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
    return idempotency.run_once(key, "u1", "POST /api/orders", "", b"{}", work)


def test_interrupted_work_is_repeated_under_the_same_id(fake_clock):
    created_ids = []

    def crash(attempt):
        created_ids.append(attempt.created_id)
        raise SystemExit

    def work(attempt):
        created_ids.append(attempt.created_id)
        return WsgiResponse(b"{}", 201)

    with pytest.raises(SystemExit):
        run(crash)
    fake_clock.pass_time(settings().lease + 1)
    run(work)
    assert len(created_ids) == 2
    assert created_ids[0] == created_ids[1]


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
