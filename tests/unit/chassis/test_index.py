"""Which indexes every engine supports."""

import pytest

from chassis.store import Index


@pytest.mark.parametrize(
    "partial", [{"a": {"$ne": 1}}, {"a": {"$in": [1]}}, {"a": {"$all": ["x"]}}, {"a": {"$exists": False}}, {"a": None}]
)
def test_index_rejects_unsupported_partial_filter(partial):
    with pytest.raises(ValueError):
        Index("a", partial=partial)
