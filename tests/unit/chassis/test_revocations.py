"""Revoked access tokens: stored once, read in order, forgotten once they have expired."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chassis import clock
from chassis.access import Revocation
from chassis.errors import TransientError
from chassis.events.envelope import Meta
from chassis.store.sqlite.store import SqliteStore
from chassis.testing import FakeClock
from chassis.web import revocations
from chassis.web.revocations import KnownRevocations, delete_expired_revocations, record, recording
from services.users.messages import SessionsRevoked, UserDeleted

LIFE_S = 600.0


@pytest.fixture(autouse=True)
def _stored(store: Any) -> None:
    revocations.revocations.attach(store).ensure_indexes()


@pytest.fixture
def known() -> KnownRevocations:
    found = KnownRevocations()
    found.read_new()
    return found


def meta(user: str = "u1", sequence: int = 1) -> Meta:
    return Meta(f"{user}:{sequence}", "users", "", clock.timestamp(), user, sequence)


def revoke(user: str = "u1", version: int = 1, session: str | None = None, sequence: int = 1) -> None:
    event = SessionsRevoked(
        user_id=user, credentials_version=version, session_id=session, until=clock.timestamp_in(LIFE_S)
    )
    record(event, meta(user, sequence))


def test_tokens_below_the_version_are_revoked_and_no_others(known: KnownRevocations) -> None:
    revoke(version=2)
    known.read_new()
    assert known.is_revoked("u1", 0, "") and known.is_revoked("u1", 1, "s1")
    assert not known.is_revoked("u1", 2, "s2")
    assert not known.is_revoked("u2", 0, "s3")


def test_end_of_one_session_leaves_the_others_alone(known: KnownRevocations) -> None:
    revoke(version=5, session="s1")
    known.read_new()
    assert known.is_revoked("u1", 5, "s1")
    assert not known.is_revoked("u1", 4, "s2")
    assert not known.is_revoked("u1", 4, "")


def test_an_older_revocation_that_arrives_late_changes_nothing(known: KnownRevocations) -> None:
    revoke(version=3, sequence=3)
    revoke(version=2, sequence=2)
    known.read_new()
    assert known.is_revoked("u1", 2, "")


def test_every_token_of_a_deleted_user_is_revoked(known: KnownRevocations) -> None:
    record(UserDeleted(user_id="u1"), meta())  # as release 0.2.0 publishes it
    record(UserDeleted(user_id="u2", until=clock.timestamp_in(LIFE_S)), meta("u2"))
    known.read_new()
    assert known.is_revoked("u1", 1_000_000, "") and known.is_revoked("u2", 1_000_000, "")


def test_redelivered_event_is_stored_once_and_still_reaches_its_handler() -> None:
    handled: list[object] = []
    handle = recording(lambda event, meta: handled.append(event))
    for _ in range(3):
        handle(UserDeleted(user_id="u1"), meta())
    assert (revocations.revocations.count(), len(handled)) == (1, 3)


def test_no_reader_misses_a_revocation_of_concurrent_workers(tmp_path: Any) -> None:
    """Eight workers write while a reader polls: numbers are inserted without gaps, so it can remember the last one."""
    store = SqliteStore(tmp_path / "shared.db")
    revocations.revocations.attach(store).ensure_indexes()
    known, stop = KnownRevocations(), threading.Event()
    users = [f"u{number}" for number in range(80)]

    def read() -> None:
        while not stop.is_set():
            known.read_new()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(revoke, users))
    finally:
        stop.set()
        reader.join()
    known.read_new()
    assert [user for user in users if not known.is_revoked(user, 0, "")] == []
    assert [doc["number"] for doc in revocations.revocations.find(sort="number")] == list(range(1, 81))
    store.close()


def test_the_first_question_reads_what_is_stored() -> None:
    revoke(version=1)
    assert KnownRevocations().is_revoked("u1", 0, "")


def test_nothing_is_accepted_while_the_first_read_fails(store: Any) -> None:
    known = KnownRevocations()
    store.fail(1, after=False)
    with pytest.raises(TransientError):
        known.is_revoked("u1", 0, "")
    assert not known.is_revoked("u1", 0, "")


def test_expired_revocations_go_but_their_numbers_do_not_return(known: KnownRevocations, fake_clock: FakeClock) -> None:
    for sequence in (1, 2, 3):
        revoke(version=sequence, sequence=sequence)
    known.read_new()
    fake_clock.pass_time(LIFE_S + revocations.MAX_CLOCK_DIFFERENCE_S - 1)
    delete_expired_revocations()
    known.read_new()
    assert revocations.revocations.count() == 3 and known.is_revoked("u1", 0, "")
    fake_clock.pass_time(2)
    delete_expired_revocations()
    known.read_new()
    assert [doc["number"] for doc in revocations.revocations.find(sort="number")] == [3]
    assert not known.is_revoked("u1", 0, "")
    revoke("u2", sequence=9)
    known.read_new()
    assert known.is_revoked("u2", 0, "")


def test_event_from_long_ago_is_not_stored(fake_clock: FakeClock) -> None:
    """A service that consumes the events for the first time reads those of a week."""
    old = meta()
    until = clock.timestamp_in(LIFE_S)
    fake_clock.pass_time(7 * 86_400)
    record(UserDeleted(user_id="u1"), old)
    record(SessionsRevoked(user_id="u1", credentials_version=1, until=until), meta(sequence=2))
    assert revocations.revocations.count() == 0


def test_memory_is_bounded(known: KnownRevocations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "MAX_REMEMBERED", 3)
    for number in range(5):
        revoke(f"u{number}")
    known.read_new()
    assert [known.is_revoked(f"u{number}", 0, "") for number in range(5)] == [False, False, True, True, True]


def test_unknown_expiry_is_that_of_the_longest_token() -> None:
    assert Revocation("u1", 1).until == ""
    record(UserDeleted(user_id="u1"), meta())
    (doc,) = revocations.revocations.find()
    assert doc["until"] > clock.timestamp_in(revocations.MAX_TOKEN_LIFE_S - 60)
