"""Ids that an operator names: whole, or by a beginning that no other id has."""

from collections.abc import Iterable
from typing import TypeVar

import click

from chassis.operations import MAX_CANDIDATES

T = TypeVar("T")


def choose(given: str, candidates: Iterable[tuple[str, T]], missing: str) -> tuple[str, T]:
    """Return the candidate, an id with its owner, that is meant.

    Raises ClickException with the message `missing` if there is none, or with the ids if there are several.
    """
    found = list(candidates)
    exact = [each for each in found if each[0] == given]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise click.ClickException(missing)
    ids = sorted({id for id, _ in found})
    more = " and others" if len(ids) >= MAX_CANDIDATES else ""
    raise click.ClickException(f"{given!r} is the beginning of several ids; name one of them: {', '.join(ids)}{more}")
