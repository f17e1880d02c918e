"""Leased slots: shares, takeover and fences."""

from collections.abc import Iterator

import pytest

from chassis import clock
from chassis.store import Collection
from chassis.store.leases import Slots
from chassis.store.sqlite.store import SqliteStore
from chassis.testing import FakeClock

TTL = 9.0


@pytest.fixture
def time() -> Iterator[FakeClock]:
    fake = FakeClock()
    clock.use(fake)
    yield fake
    clock.use(clock.Clock())


@pytest.fixture
def join(tmp_path, time):
    leases = Collection("leases")
    store = SqliteStore(tmp_path / "leases.db")
    leases.attach(store).ensure_indexes()

    def join(count=8, name="relay"):
        time.pass_time(0.001)
        return Slots(leases, name, count, TTL)

    yield join
    store.close()


def renew(time, *members, seconds=TTL):
    """Let all members renew once a second for this time."""
    for _ in range(int(seconds)):
        time.pass_time(1)
        for member in members:
            member.held()


def test_single_member_holds_every_slot(join):
    assert sorted(join().held()) == list(range(8))


@pytest.mark.parametrize(("members", "slots"), [(2, 8), (3, 8), (3, 3), (4, 2)])
def test_members_hold_even_shares(join, time, members, slots):
    group = [join(slots) for _ in range(members)]
    renew(time, *group)
    held = [sorted(member.held()) for member in group]
    assert sorted(sum(held, [])) == list(range(slots))
    assert max(map(len, held)) - min(map(len, held)) <= 1


def test_no_slot_is_held_by_two_members(join, time):
    members = [join()]
    for _ in range(40):
        time.pass_time(1)
        if len(members) < 4:
            members.append(join())
        held = [slot for member in members for slot in member.held()]
        assert len(held) == len(set(held))


def test_slots_of_silent_member_get_a_higher_fence(join, time):
    one, other = join(), join()
    renew(time, one, other)
    before = one.held()
    renew(time, other, seconds=TTL * 1.5)
    after = other.held()
    assert sorted(after) == list(range(8))
    assert all(after[slot] == fence + 1 for slot, fence in before.items())


def test_member_resuming_after_its_lease_expired_loses_its_slots(join, time):
    sleeper, other = join(), join()
    renew(time, sleeper, other)
    lost = sleeper.held()
    renew(time, other, seconds=TTL * 2)
    woken = sleeper.held()
    assert not {(slot, fence) for slot, fence in lost.items()} & set(woken.items())


def test_single_member_whose_lease_expired_keeps_slots_and_fences(join, time):
    alone = join()
    before = dict(alone.held())
    time.pass_time(TTL * 3)
    assert alone.held() == before


def test_released_slots_are_taken_over_before_the_lease_ends(join, time):
    one, other = join(), join()
    renew(time, one, other)
    one.release()
    time.pass_time(TTL / 3)
    assert sorted(other.held()) == list(range(8))


def test_refresh_takes_over_at_once(join, time):
    one, other = join(), join()
    renew(time, one, other)
    one.release()
    other.refresh()
    assert sorted(other.held()) == list(range(8))


def test_refresh_renews_nothing_if_membership_is_unchanged(join, time):
    one, other = join(), join()
    renew(time, one, other)
    for member in (one, other):
        member.refresh()
        member.held()
    version = one._collection.get("relay")["version"]
    for member in (one, other) * 3:
        member.refresh()
        member.held()
    assert one._collection.get("relay")["version"] == version


def test_clock_set_back_takes_no_slot_from_its_holder(join, time):
    one, other = join(), join()
    renew(time, one, other)
    before = dict(one.held())
    time.set_back(600)
    renew(time, one, other)
    assert one.held() == before


def test_leases_of_different_names_are_independent(join):
    one, other = join(name="relay"), join(name="sweeps")
    assert sorted(one.held()) == sorted(other.held()) == list(range(8))
