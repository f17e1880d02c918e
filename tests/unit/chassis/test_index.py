"""What an index may be, on every engine."""

import pytest

from chassis.store import Index


@pytest.mark.parametrize(
    "when", [{"a": {"$ne": 1}}, {"a": {"$in": [1]}}, {"a": {"$all": ["x"]}}, {"a": {"$exists": False}}, {"a": None}]
)
def test_index_rejects_unsupported_partial_filter(when):
    with pytest.raises(ValueError):
        Index("a", partial=when)
