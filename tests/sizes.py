"""How much a test does: a short form in CI, the long one with `pytest --nightly`, as `make nightly` runs it."""

import os
from typing import TypeVar

T = TypeVar("T")

NIGHTLY = "NIGHTLY"
"""Set in the environment, and so in every process that a test starts, by `pytest --nightly`."""


def is_nightly() -> bool:
    """Whether the long forms run."""
    return bool(os.environ.get(NIGHTLY))


def by_form(short: T, long: T) -> T:
    """Return `long` in a nightly run, else `short`."""
    return long if is_nightly() else short
