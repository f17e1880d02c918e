"""A key is for one piece of work: done once, under one id, whoever asks again and whenever."""

import pytest

from chassis.errors import DomainError
from chassis.settings import settings
from chassis.web import idempotency
from chassis.web.response import WsgiResponse


@pytest.fixture(autouse=True)
def bound(store, fake_clock):
    idempotency.records.attach(store).ensure_indexes()


def once(work, key="k1"):
    return idempotency.run_once(key, "u1", "POST /api/orders", "", b"{}", work)


def test_work_that_was_cut_off_is_done_again_under_the_same_id(fake_clock):
    made = []

    def dies(attempt):
        made.append(attempt.created_id)
        raise SystemExit

    def works(attempt):
        made.append(attempt.created_id)
        return WsgiResponse(b"{}", 201)

    with pytest.raises(SystemExit):
        once(dies)
    fake_clock.pass_time(settings().lease + 1)
    once(works)
    assert len(made) == 2
    assert made[0] == made[1]


def test_a_key_whose_work_is_under_way_is_refused():
    def asks_again(attempt):
        with pytest.raises(DomainError) as refused:
            once(asks_again)
        assert refused.value.kind == "key_in_use"
        return WsgiResponse(b"{}", 201)

    assert once(asks_again).status_code == 201


def test_one_that_outlasted_its_lease_gives_the_answer_of_the_other(fake_clock):
    def slow(attempt):
        fake_clock.pass_time(settings().lease + 1)
        assert once(lambda attempt: WsgiResponse(b"pending", 202)).status_code == 202
        return WsgiResponse(b"confirmed", 201)

    answer = once(slow)
    assert (answer.status_code, answer.get_data()) == (202, b"pending")


def test_one_that_outlasted_its_lease_while_nobody_has_answered_is_refused(fake_clock):
    def dies(attempt):
        raise SystemExit

    def slow(attempt):
        fake_clock.pass_time(settings().lease + 1)
        with pytest.raises(SystemExit):
            once(dies)
        return WsgiResponse(b"confirmed", 201)

    with pytest.raises(DomainError) as refused:
        once(slow)
    assert refused.value.kind == "key_in_use"


def test_one_whose_record_was_erased_with_its_user_is_answered():
    def erases(attempt):
        idempotency.forget("u1")
        return WsgiResponse(b"", 204)

    assert once(erases).status_code == 204
