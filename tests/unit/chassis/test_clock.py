"""Randomness of the clock: as much as asked for, and different for every thread and process."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from chassis import clock


@pytest.mark.parametrize("size", [1, 10, 24, 4096, 5000])
def test_entropy_returns_the_size_asked_for(size):
    assert {len(clock.entropy(size)) for _ in range(1000)} == {size}


def test_entropy_differs_between_threads():
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: [clock.entropy(16) for _ in range(2000)], range(8)))
    assert len({id for some in ids for id in some}) == 16_000


def test_entropy_differs_between_processes():
    clock.entropy(1)
    reading, writing = os.pipe()
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        os.write(writing, clock.entropy(16))
        os._exit(0)
    assert os.read(reading, 16) != clock.entropy(16)
