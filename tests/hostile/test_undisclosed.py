"""Runs last: the hostile requests leave no secret and no personal data behind, and an audit judges every order."""

import json
import re
from pathlib import Path

import pytest

from tests import dump
from tests.faults import checker
from tests.hostile.actors import CARD, Actors
from tests.hostile.test_sockets import CLOSE, HEAD, exchange
from tests.system.platform import PASSWORD, eventually

SECRET = {
    "an access token": re.compile(rb"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"),
    "a refresh token": re.compile(rb"[0-9A-HJKMNP-TV-Z]{26}\.[\w-]{43}"),
    "a card": re.compile(CARD.encode()),
    "a password": re.compile(re.escape(PASSWORD.encode())),
    "a hash of a password": re.compile(rb"\$argon2"),
}
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


@pytest.fixture(scope="module")
def logs(actors: Actors) -> dict[str, bytes]:
    """The log of each process, after requests that cannot be parsed and hold a secret."""
    token = actors.owner.token.encode()
    for port in (actors.shop.port, int(actors.shop.process("users", "web")["port"])):
        for raw in (
            HEAD + b"Bearer " + token + b"\r\n" + CLOSE,
            HEAD + b"Authorization: Bearer " + token + b"\0\r\n" + CLOSE,
            HEAD + b"Authorization: Bearer a\r\n " + token + b"\r\n" + CLOSE,
            b"GET /api/orders?token=" + token + b" \x1b[31m HTTP/1.1\r\nHost: a\r\n" + CLOSE,
            HEAD + b"X\r\n\x1b[2J\x07 {}\r\n" + CLOSE,
        ):
            assert [status for status, _ in exchange(port, raw)] == [400]
    return {path.name: path.read_bytes() for path in (actors.shop.data / "logs").iterdir()}


def test_processes_have_logs(actors: Actors, logs: dict[str, bytes]) -> None:
    assert len([name for name, text in logs.items() if text]) > len(actors.shop.run()["processes"]) // 2


@pytest.mark.parametrize("what", SECRET)
def test_no_log_holds_a_secret(logs: dict[str, bytes], what: str) -> None:
    found = {name: SECRET[what].search(text) for name, text in logs.items()}
    assert not {name: text[:40] for name, match in found.items() if match for text in [match[0]]}


def test_no_log_holds_personal_data(actors: Actors, logs: dict[str, bytes]) -> None:
    canaries = [canary for person in (actors.owner, actors.other, actors.erased) for canary in person.canaries]
    assert not [name for name, text in logs.items() for canary in canaries if canary in text]


def test_client_cannot_inject_log_lines(logs: dict[str, bytes]) -> None:
    assert not [name for name, text in logs.items() if CONTROL.search(text)]
    for name, text in logs.items():
        if name.endswith(("-web.log", "-worker.log")):
            assert not [line for line in text.splitlines() if "level" not in json.loads(line)], name


def test_no_hostile_request_is_logged_as_an_error(logs: dict[str, bytes]) -> None:
    lines = [line for name, text in logs.items() if name.endswith("-web.log") for line in text.splitlines()]
    assert not [line for line in lines if b'"level":"error"' in line or b"Traceback" in line][:5]


@pytest.mark.parametrize("what", SECRET)
def test_no_event_holds_a_secret(actors: Actors, what: str) -> None:
    for path in Path(actors.shop.data).glob("bus.db*"):
        assert not SECRET[what].search(path.read_bytes()), path.name


def test_no_store_holds_a_card(actors: Actors) -> None:
    for path in Path(actors.shop.data).glob("store/*.db*"):
        assert not SECRET["a card"].search(path.read_bytes()), path.name


def test_audit_judges_every_order_and_finds_nothing(actors: Actors) -> None:
    eventually(lambda: not checker.unfinished_work(dump.read(actors.shop.place)))
    orders = {doc["_id"] for doc in actors.shop.documents("orders", "summaries")}
    done = actors.shop.mercato("audit", "--json")
    *findings, summary = map(json.loads, done.stdout.splitlines())
    assert findings == []
    assert summary["checked"]["orders"] == len(orders) > 0
    assert (done.returncode, summary["findings"], summary["notChecked"]) == (0, 0, 0)
