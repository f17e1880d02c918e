"""Platforms that share a bus: each has topics and groups of its own, with its prefix."""

import pytest
from topics import Topics, end_offsets, poll_records, poll_until

from chassis.bus import PartitionRevoked
from chassis.bus.prefixed import PrefixedBus

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "kafka"], indirect=True)


@pytest.fixture
def shared(bus):
    """Topics of the same names for three platforms: one without a prefix, and two with one."""
    plain = Topics(bus)
    platforms = [plain, *(plain.of(PrefixedBus(bus, prefix)) for prefix in ("north-", "south-"))]
    for each in platforms:
        each.create(events=2)
    yield platforms
    for each in platforms:
        each.close()


def test_records_reach_only_members_of_the_same_prefix(bus, shared):
    _, north, south = shared
    members = [each.member() for each in shared]
    for member in members:
        poll_until(lambda member=member: len(member.owned()) == 2, member)
    north.publish(north.records(6))
    south.publish(south.records(2))
    found = poll_records(members[1], 6)
    assert {record.topic for record in found} == {north.full_name("events")}
    assert len(poll_records(members[2], 2)) == 2
    assert not members[0].poll(10, 0.2) and not members[2].poll(10, 0.2)
    engine = bus.consumer("north-outside", ["north-" + north.full_name("events")])
    assert {record.topic for record in poll_records(engine, 6)} == {"north-" + north.full_name("events")}
    engine.close()


def test_offsets_and_lag_are_of_the_prefix(bus, shared):
    _, north, south = shared
    for each in (north, south):
        each.publish(each.records(6, keys="a"))
    first, other = north.member(), south.member()
    found = poll_records(first, 6)
    poll_records(other, 6)
    first.seek((found[0].topic, found[0].partition), 4)
    assert [record.offset for record in poll_records(first, 2)] == [4, 5]
    first.commit(end_offsets(found))
    assert set(first.lag().values()) == {0}
    assert sorted(other.lag().values()) == [0, 6]
    with pytest.raises(PartitionRevoked):
        first.commit({(f"south-{south.full_name('events')}", 0): 1})
    first.close()
    later = bus.consumer("north-" + north.full_name("g"), ["north-" + north.full_name("events")])
    poll_until(lambda: len(later.owned()) == 2, later)
    assert not later.poll(10, 0.2)
    later.close()
