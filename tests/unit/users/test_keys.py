"""The signing keys: replaced without an invalid token, or at once."""

import pytest
from click.testing import CliRunner
from joserfc import jwt
from joserfc.jwk import KeySet

from chassis.web.auth import KEYS_REFRESH_S, MAX_KEYS_AGE_S, MIN_REFETCH_S, Verifier
from services.users import keys, keys_cli
from services.users.settings import settings


@pytest.fixture(autouse=True)
def _stored(store, fake_clock, monkeypatch):
    keys.signing_keys.attach(store).ensure_indexes()
    monkeypatch.setattr(keys, "_cached", None)
    keys.prepare()


@pytest.fixture
def token(fake_clock):
    """Return a function that issues a token with what a process of users knows, which may be some seconds old."""
    return lambda: keys.access_token("u1", "customer", "s1", 0)


def key_id(token):
    return jwt.decode(token, KeySet.import_key_set(keys.public_keys()), algorithms=["Ed25519"]).header["kid"]


def published():
    return {key["kid"] for key in keys.public_keys()["keys"]}


def test_next_key_is_published_at_once_and_signs_when_every_verifier_has_it(token, fake_clock):
    first = key_id(token())
    since = keys.publish_next()
    fake_clock.pass_time(MAX_KEYS_AGE_S)
    assert first in published() and len(published()) == 2
    assert key_id(token()) == first
    fake_clock.pass_time(keys._PUBLISH_AHEAD_S - MAX_KEYS_AGE_S)
    assert key_id(token()) != first
    assert since <= keys.clock.timestamp()


def test_no_token_is_refused_while_the_key_is_replaced(token, fake_clock):
    """Two verifiers that fetch at different times see a token of each minute, and one of ten minutes before."""
    verifiers, tokens = [Verifier(keys.public_keys), Verifier(keys.public_keys)], []
    for minute in range(45):
        if minute == 5:
            keys.publish_next()
        keys.rotate()
        tokens.append(token())
        for offset, verifier in enumerate(verifiers):
            fake_clock.pass_time(offset * MIN_REFETCH_S)
            for valid in tokens[-9:]:
                assert verifier.verify(valid) is not None, minute
        fake_clock.pass_time(60 - MIN_REFETCH_S)
    assert len({key_id(valid) for valid in tokens[-9:]}) == 1
    assert len(published()) == 1


def test_publishing_again_adds_no_second_key(fake_clock):
    assert keys.publish_next() == keys.publish_next()
    fake_clock.pass_time(keys._CACHED_S + 1)
    assert len(published()) == 2


def test_concurrent_changes_of_the_keys_are_both_kept(monkeypatch, fake_clock):
    """Another process rotates between the read and the write of this one."""
    stolen = [keys.replace_all]
    make = keys._new_key

    def interrupted(since):
        if stolen:
            stolen.pop()()
        return make(since)

    monkeypatch.setattr(keys, "_new_key", interrupted)
    keys.publish_next()
    fake_clock.pass_time(keys._CACHED_S + 1)
    doc = keys.signing_keys.get("signing")
    assert len(doc["keys"]) == 2 and doc["version"] == 3


def test_dropped_keys_are_refused_everywhere_also_for_tokens_verified_before(token, fake_clock):
    verifier, former = Verifier(keys.public_keys), token()
    assert verifier.verify(former) is not None
    keys.replace_all()
    fake_clock.pass_time(keys.REFUSED_WITHIN_S + 1)
    assert settings().access_token > keys.REFUSED_WITHIN_S  # it would be valid, but for its key
    assert verifier.verify(former) is None
    assert verifier.verify(token()) is not None
    assert len(published()) == 1


def test_a_verified_token_is_accepted_while_its_key_is_published(token, fake_clock):
    verifier, valid = Verifier(keys.public_keys), token()
    for _ in range(5):
        assert verifier.verify(valid) is not None
        fake_clock.pass_time(KEYS_REFRESH_S)


@pytest.mark.parametrize(("options", "kept"), [([], 2), (["--emergency"], 1)])
def test_command_publishes_the_next_key_or_drops_the_former_ones(monkeypatch, token, fake_clock, options, kept):
    monkeypatch.setattr(keys_cli, "attach_store", lambda service: service)
    former = key_id(token())
    done = CliRunner().invoke(keys_cli.keys, ["rotate", *options])
    fake_clock.pass_time(keys._CACHED_S + 1)
    assert done.exit_code == 0, done.output
    assert len(published()) == kept and (former in published()) is (kept == 2)
    assert "private" not in done.output and former not in done.output


def test_key_of_a_process_whose_clock_is_ahead_signs(token, fake_clock):
    fake_clock.pass_time(300)
    keys.replace_all()
    fake_clock.set_back(300)
    keys._cached = None
    assert key_id(token()) in published()
