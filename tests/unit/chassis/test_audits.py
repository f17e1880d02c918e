"""A finding counts if it is found twice; what is under way, and what could not be asked once, is none."""

from itertools import count, islice

import pytest

from chassis.audit import AGAIN, BATCH, DOUBTS, Audit, Finding, Look, Unseen
from chassis.errors import TransientError


@pytest.fixture(autouse=True)
def _time(fake_clock):
    return fake_clock


def look(ids, *judges):
    """A look at these ids, in which each judging is done by the next of these, the last of them for ever after."""
    turns = count()
    asked = []

    def judge(ids):
        asked.append(ids)
        return judges[min(next(turns), len(judges) - 1)](ids)

    return Look(Audit("order", lambda: ids, judge)), asked


def wrong(*ids, detail="is wrong"):
    return lambda asked: [Finding(id, "I1", detail) for id in asked if id in ids]


def down(_):
    raise TransientError("away")


def test_what_is_still_wrong_a_few_seconds_later_is_a_finding(_time):
    it, asked = look(["a", "b", "c"], wrong("a", "b"), wrong("b", "c"))
    assert list(it.doubts()) == [Finding("b", "I1", "is wrong")]
    assert asked == [["a", "b", "c"], ["a", "b"]]
    assert (it.seen, _time.monotonic()) == (3, AGAIN)


def test_what_is_wrong_in_another_way_by_then_is_none():
    it, _ = look(["a"], wrong("a"), wrong("a", detail="is wrong otherwise"))
    assert list(it.doubts()) == []


def test_where_all_agrees_nobody_waits(_time):
    it, _ = look(["a"], wrong())
    assert (list(it.doubts()), _time.monotonic()) == ([], 0)


def test_one_that_can_be_judged_by_then_is_not_unseen():
    unseen = Unseen("a", "busy")
    assert list(look(["a"], lambda _: [unseen], wrong())[0].doubts()) == []
    assert list(look(["a"], lambda _: [unseen])[0].doubts()) == [unseen]


def test_a_service_that_was_away_for_a_moment_is_asked_again():
    it, asked = look(["a"], down, wrong("a"))
    assert list(it.doubts()) == [Finding("a", "I1", "is wrong")]
    assert len(asked) == 3


def test_a_service_that_stays_away_ends_the_look_after_what_was_seen():
    it, _ = look(map(str, range(BATCH + 1)), wrong(), down)
    with pytest.raises(TransientError):
        list(it.doubts())
    assert it.seen == BATCH


def test_much_is_judged_in_batches_and_found_before_the_end():
    taken = count()
    ids = (str(next(taken)) for _ in range(100 * DOUBTS))
    it, asked = look(ids, lambda ids: [Finding(id, "I1", "is wrong") for id in ids])
    assert len(list(islice(it.doubts(), 5 * DOUBTS))) == 5 * DOUBTS
    assert max(map(len, asked)) == BATCH
    assert next(taken) <= 6 * DOUBTS, "more was read than is kept"
