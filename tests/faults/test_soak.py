"""What has grown is seen, and what only moves is not."""

import os

import pytest

from tests.faults.soak import Sample, Watch, sample

LASTS, MIB = 1800.0, 2**20
CALM = Sample(80 * MIB, 40, 20)


def watched(late: Sample) -> list[str]:
    """What is said of a process that is calm for most of the time, and then is so."""
    watch = Watch({"orders web": 1})
    times = range(0, int(LASTS), 10)
    watch.samples["orders web"] = [(float(at), late if at >= LASTS * 5 / 6 else CALM) for at in times]
    return watch.grown(LASTS)


def test_a_process_that_stays_as_it_is_has_not_grown() -> None:
    assert watched(CALM) == []


def test_a_process_that_moves_a_little_has_not_grown() -> None:
    assert watched(Sample(84 * MIB, 45, 22)) == []


@pytest.mark.parametrize(
    ("late", "what"),
    [
        (Sample(86 * MIB, 40, 20), "memory"),
        (Sample(80 * MIB, 46, 20), "descriptors"),
        (Sample(80 * MIB, 40, 23), "threads"),
    ],
)
def test_a_process_that_grows_is_named(late: Sample, what: str) -> None:
    (said,) = watched(late)
    assert said.startswith(f"I17 orders web: {what} from ")


def test_a_sample_is_of_this_moment() -> None:
    before = sample(os.getpid())
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
    ballast = bytearray(os.urandom(20 * MIB))
    after = sample(os.getpid())
    for descriptor in held:
        os.close(descriptor)
    assert after.descriptors >= before.descriptors + 10
    assert after.memory >= before.memory + len(ballast) // 2
