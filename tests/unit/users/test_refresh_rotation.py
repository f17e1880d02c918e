"""A refresh whose response was lost is repeated while `PLATFORM_SECRET` is replaced."""

import pytest

from chassis import keyed_hash
from chassis.settings import Settings
from services.users import sessions

FORMER, NEXT = "the former secret of the platform", "the next secret of this same platform"


@pytest.fixture
def use(store, fake_clock, monkeypatch):
    """Return a function that gives this process a secret, and one that is accepted, too."""
    sessions.refresh_token_families.attach(store).ensure_indexes()

    def _use(secret, accepted=""):
        chosen = Settings(platform_secret=secret, platform_secret_accepted=accepted)
        monkeypatch.setattr(keyed_hash, "settings", lambda: chosen)

    return _use


@pytest.mark.parametrize(("first", "second"), [((FORMER, NEXT), (NEXT, FORMER)), ((NEXT, FORMER), (FORMER, NEXT))])
def test_a_repeated_refresh_gets_the_same_successor_from_a_process_of_the_next_step(use, first, second):
    use(*first)
    token = sessions.begin("u1", 0).token
    successor = sessions.rotate(token).token
    use(*second)
    assert sessions.rotate(token).token == successor
    assert sessions.rotate(successor).user == "u1"


def test_a_session_goes_on_after_its_secret_was_dropped(use):
    use(FORMER)
    token = sessions.rotate(sessions.begin("u1", 0).token).token
    use(NEXT)
    assert sessions.rotate(token).user == "u1"


def test_a_token_used_twice_ends_the_session_also_during_a_rotation(use, fake_clock):
    use(FORMER, NEXT)
    token = sessions.begin("u1", 0).token
    successor = sessions.rotate(token).token
    use(NEXT, FORMER)
    fake_clock.pass_time(sessions.REUSE_GRACE_S + 1)
    for used in (token, successor):
        with pytest.raises(sessions.SignedOut):
            sessions.rotate(used)
