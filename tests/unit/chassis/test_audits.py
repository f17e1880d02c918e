"""A suspect becomes a finding if the second check yields it again; work in progress and short outages yield none."""

from itertools import count, islice

import pytest

from chassis.audit import BATCH, MAX_SUSPECTS, RECHECK_S, UNREADABLE, Audit, AuditRun, Finding, NotChecked
from chassis.errors import TransientError


@pytest.fixture(autouse=True)
def time(fake_clock):
    return fake_clock


def run_of(ids, *checks):
    """A run over these ids, and the batches it checks; each batch goes to the next check, at the end to the last."""
    turns, batches = count(), []

    def check(ids):
        batches.append(ids)
        return checks[min(next(turns), len(checks) - 1)](ids)

    return AuditRun(Audit("order", lambda: ids, check)), batches


def wrong(*ids, detail="is wrong"):
    return lambda batch: [Finding(id, "I1", detail) for id in batch if id in ids]


def unavailable(_):
    raise TransientError("away")


def test_suspect_is_a_finding_if_the_second_check_yields_it(time):
    run, batches = run_of(["a", "b", "c"], wrong("a", "b"), wrong("b", "c"))
    assert list(run.results()) == [Finding("b", "I1", "is wrong")]
    assert batches == [["a", "b", "c"], ["a", "b"]]
    assert (run.checked, time.monotonic()) == (3, RECHECK_S)


def test_suspect_with_another_detail_is_no_finding():
    run, _ = run_of(["a"], wrong("a"), wrong("a", detail="is wrong otherwise"))
    assert list(run.results()) == []


def test_run_without_suspects_does_not_wait(time):
    run, _ = run_of(["a"], wrong())
    assert (list(run.results()), time.monotonic()) == ([], 0)


def test_object_is_reported_as_not_checked_after_two_attempts():
    busy = NotChecked("a", "busy")
    assert list(run_of(["a"], lambda _: [busy], wrong())[0].results()) == []
    assert list(run_of(["a"], lambda _: [busy])[0].results()) == [busy]


def test_check_is_retried_once_after_a_transient_error():
    run, batches = run_of(["a"], unavailable, wrong("a"))
    assert list(run.results()) == [Finding("a", "I1", "is wrong")]
    assert len(batches) == 3


def test_run_fails_if_the_retried_check_fails():
    run, _ = run_of(map(str, range(BATCH + 1)), wrong(), unavailable)
    with pytest.raises(TransientError):
        list(run.results())
    assert run.checked == BATCH


def test_ids_are_checked_in_batches_and_found_before_the_end():
    read = count()
    ids = (str(next(read)) for _ in range(100 * MAX_SUSPECTS))
    run, batches = run_of(ids, lambda ids: [Finding(id, "I1", "is wrong") for id in ids])
    assert len(list(islice(run.results(), 5 * MAX_SUSPECTS))) == 5 * MAX_SUSPECTS
    assert max(map(len, batches)) == BATCH
    assert next(read) <= 6 * MAX_SUSPECTS, "more was read than is kept"


def test_exception_about_one_object_is_a_finding_and_the_others_are_checked():
    def check(ids):
        for id in ids:
            if id in ("3", "77"):
                int(f"personal data of {id}")
        return wrong("4")(ids)

    run, _ = run_of(map(str, range(2 * BATCH)), check)
    found = list(run.results())
    assert sorted(each.id for each in found) == ["3", "4", "77"]
    assert run.checked == 2 * BATCH
    unreadable = [each for each in found if each.invariant == UNREADABLE]
    assert len(unreadable) == 2
    assert all("ValueError" in each.detail and "personal" not in each.detail for each in unreadable)


def test_exception_that_passes_is_no_finding():
    def broken(_):
        raise KeyError("status")

    assert list(run_of(["a"], broken, wrong())[0].results()) == []
