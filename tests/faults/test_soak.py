"""Tests of the soak test: it finds growth beyond the limits, and only that."""

import os

import pytest

from tests.faults.soak import Monitor, Sample, sample

DURATION_S, MIB = 1800.0, 2**20
EARLY = Sample(80 * MIB, 40, 20)


def growth_to(late: Sample) -> list[str]:
    """Return the growth of a process that is at EARLY, and at `late` in the last window."""
    monitor = Monitor({"orders web": 1})
    times = range(0, int(DURATION_S), 10)
    monitor.samples["orders web"] = [(float(at), late if at >= DURATION_S * 5 / 6 else EARLY) for at in times]
    return monitor.growth(DURATION_S)


def test_constant_process_has_not_grown() -> None:
    assert growth_to(EARLY) == []


def test_small_changes_are_no_growth() -> None:
    assert growth_to(Sample(84 * MIB, 45, 22)) == []


@pytest.mark.parametrize(
    ("late", "what"),
    [
        (Sample(86 * MIB, 40, 20), "memory"),
        (Sample(80 * MIB, 46, 20), "descriptors"),
        (Sample(80 * MIB, 40, 23), "threads"),
    ],
)
def test_growing_process_is_named(late: Sample, what: str) -> None:
    (line,) = growth_to(late)
    assert line.startswith(f"I17 orders web: {what} from ")


def test_sample_shows_what_the_process_uses_now() -> None:
    before = sample(os.getpid())
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
    ballast = bytearray(os.urandom(20 * MIB))
    after = sample(os.getpid())
    for descriptor in opened:
        os.close(descriptor)
    assert after.descriptors >= before.descriptors + 10
    assert after.memory >= before.memory + len(ballast) // 2
