"""`PLATFORM_SECRET` is replaced in three steps; in each, old and new processes accept what the others made."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import keyed_hash
from chassis.calls.tokens import ServiceTokens
from chassis.errors import DomainError, InvalidInput
from chassis.settings import Settings
from chassis.store import Collection
from chassis.web import idempotency, limits, paging
from chassis.web.response import WsgiResponse

FORMER, NEXT = "the former secret of the platform", "the next secret of this same platform"
STEPS = [(FORMER, ""), (FORMER, NEXT), (NEXT, FORMER), (NEXT, "")]
"""(PLATFORM_SECRET, PLATFORM_SECRET_ACCEPTED) before, in and after the rotation."""
MIXED = [(STEPS[at], STEPS[at + offset]) for at in range(3) for offset in (0, 1)]
"""The settings of two processes that may run at the same time."""
MIXED += [(second, first) for first, second in MIXED]

Use = Callable[[tuple[str, str]], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Return a function that gives this process the secrets of a step."""

    def _use(step: tuple[str, str]) -> None:
        chosen = Settings(platform_secret=step[0], platform_secret_accepted=step[1])
        monkeypatch.setattr(keyed_hash, "settings", lambda: chosen)

    return _use


@pytest.fixture
def records(store, fake_clock) -> Iterator[Collection]:
    yield idempotency.records.attach(store)


def order(body: bytes = b'{"quantity":1}') -> tuple[int, str, bool]:
    """Place an order under one key; return (status, its id, whether the response was replayed)."""
    work = lambda attempt: WsgiResponse(attempt.created_id.encode(), 201)  # noqa: E731
    response = idempotency.run_once("k1", "u1", "POST /api/orders", "", body, work, pytest.fail)
    return response.status_code, response.get_data(as_text=True), idempotency.REPLAYED in response.headers


@pytest.mark.parametrize(("one", "other"), MIXED)
def test_a_retry_gets_the_same_order_from_a_process_of_another_step(records, use, one, other):
    use(one)
    _, made, _ = order()
    use(other)
    assert order() == (201, made, True)


@pytest.mark.parametrize(("one", "other"), MIXED)
def test_a_key_with_another_body_is_rejected_in_every_step(records, use, one, other):
    use(one)
    order()
    use(other)
    with pytest.raises(DomainError) as error:
        order(b'{"quantity":2}')
    assert error.value.kind == "key_reused"


def test_a_retry_gets_the_same_order_even_after_its_secret_was_dropped(records, use):
    use(STEPS[0])
    _, made, _ = order()
    use(STEPS[3])
    assert order() == (201, made, True)


def test_an_interrupted_order_is_resumed_under_its_id_after_its_secret_was_dropped(records, use, fake_clock):
    use(STEPS[0])
    with pytest.raises(SystemExit):
        idempotency.run_once("k1", "u1", "POST /api/orders", "", b"{}", _die, pytest.fail)
    (record,) = records.find({})
    fake_clock.pass_time(60)
    use(STEPS[3])
    assert order(b"{}") == (201, record["createdId"], False)


@pytest.mark.parametrize("step", STEPS[:3])
def test_a_record_of_release_0_2_0_is_compared_with_every_accepted_secret(records, use, step):
    use(STEPS[0])
    _, made, _ = order()
    (record,) = records.find({})
    records.delete(record["_id"])
    records.insert({name: value for name, value in record.items() if name != "secretId"})
    use(step)
    assert order() == (201, made, True)
    with pytest.raises(DomainError):
        order(b'{"quantity":2}')


@pytest.mark.parametrize(("one", "other"), MIXED)
def test_a_cursor_is_read_by_a_process_of_another_step(use, one, other):
    use(one)
    cursor = paging.write_cursor(("a", "b"), "list of u1")
    use(other)
    assert paging.read_cursor(cursor, "list of u1") == ["a", "b"]
    with pytest.raises(InvalidInput):
        paging.read_cursor(cursor, "list of u2")


def test_a_cursor_is_rejected_once_its_secret_is_dropped(use):
    use(STEPS[0])
    cursor = paging.write_cursor(("a", "b"), "list of u1")
    use(STEPS[3])
    with pytest.raises(InvalidInput):
        paging.read_cursor(cursor, "list of u1")


@pytest.mark.parametrize(("one", "other"), MIXED)
def test_attempts_are_counted_together_by_processes_of_two_steps(store, fake_clock, use, one, other):
    limits.counters.attach(store)
    counts = []
    for step in (one, other, other, one):
        use(step)
        counts.append(limits.count_in_store("sign-in ada@example.com", 60)[0])
    assert counts == [1, 2, 3, 4]
    assert len(limits.counters.find({})) == 1


@pytest.mark.parametrize(("one", "other"), MIXED)
def test_a_service_token_is_accepted_by_a_process_of_another_step(one, other):
    token = ServiceTokens("orders", *_secrets(one)).issue("payments")
    assert ServiceTokens("payments", *_secrets(other)).caller(token) == "orders"


@pytest.mark.parametrize(("one", "other"), [(STEPS[0], STEPS[3]), (STEPS[3], STEPS[0]), (STEPS[0], STEPS[2])[::-1]])
def test_a_service_token_of_a_secret_that_is_not_accepted_is_rejected(one, other):
    token = ServiceTokens("orders", *_secrets(one)).issue("payments")
    assert ServiceTokens("payments", *_secrets(other)).caller(token) == ""


@pytest.mark.parametrize("step", [("short", ""), ("s" * 32, "short"), ("", "s" * 32)])
def test_a_short_secret_is_rejected_at_start(step):
    with pytest.raises(SystemExit, match="must have 32 characters or more"):
        ServiceTokens("orders", *_secrets(step))


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_no_malformed_service_token_is_accepted_or_raises(text):
    assert ServiceTokens("payments", FORMER, (NEXT,)).caller(text) == ""


def test_the_stored_id_of_a_secret_reveals_nothing_of_it(use):
    use(STEPS[1])
    former, following = keyed_hash.secret_ids()
    assert former != following and len(former) == len(following) == 8
    use((FORMER + "x", ""))
    assert keyed_hash.secret_ids() != [former]


def _secrets(step: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    secret, *accepted = Settings(platform_secret=step[0], platform_secret_accepted=step[1]).platform_secrets
    return secret, tuple(accepted)


def _die(_: idempotency.Attempt) -> WsgiResponse:
    raise SystemExit
