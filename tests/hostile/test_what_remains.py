"""Comes last: what all that is hostile has left in the logs and on the bus."""

import json
import re
from pathlib import Path

import pytest

from tests.hostile.cast import CARD, Cast
from tests.hostile.test_sockets import LAST, OPEN, answers
from tests.system.platform import PASSWORD

SECRET = {
    "an access token": re.compile(rb"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"),
    "a refresh token": re.compile(rb"[0-9A-HJKMNP-TV-Z]{26}\.[\w-]{43}"),
    "a card": re.compile(CARD.encode()),
    "a password": re.compile(re.escape(PASSWORD.encode())),
    "a hash of a password": re.compile(rb"\$argon2"),
}
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


@pytest.fixture(scope="module")
def logs(cast: Cast) -> dict[str, bytes]:
    """What each process wrote, also about a request that cannot be read and has a secret in it."""
    token = cast.owner.token.encode()
    for port in (cast.shop.port, int(cast.shop.process("users", "web")["port"])):
        for raw in (
            OPEN + b"Bearer " + token + b"\r\n" + LAST,
            OPEN + b"Authorization: Bearer " + token + b"\0\r\n" + LAST,
            OPEN + b"Authorization: Bearer a\r\n " + token + b"\r\n" + LAST,
            b"GET /api/orders?token=" + token + b" \x1b[31m HTTP/1.1\r\nHost: a\r\n" + LAST,
            OPEN + b"X\r\n\x1b[2J\x07 {}\r\n" + LAST,
        ):
            assert [status for status, _ in answers(port, raw)] == [400]
    return {path.name: path.read_bytes() for path in (cast.shop.data / "logs").iterdir()}


def test_there_are_logs_of_every_process(cast: Cast, logs: dict[str, bytes]) -> None:
    assert len([name for name, text in logs.items() if text]) > len(cast.shop.run()["processes"]) // 2


@pytest.mark.parametrize("what", SECRET)
def test_no_log_holds_a_secret(logs: dict[str, bytes], what: str) -> None:
    found = {name: SECRET[what].search(text) for name, text in logs.items()}
    assert not {name: text[:40] for name, match in found.items() if match for text in [match[0]]}


def test_no_log_tells_of_a_person(cast: Cast, logs: dict[str, bytes]) -> None:
    canaries = [canary for person in (cast.owner, cast.other, cast.erased) for canary in person.canaries]
    assert not [name for name, text in logs.items() for canary in canaries if canary in text]


def test_no_client_writes_a_line_of_its_own_into_a_log(logs: dict[str, bytes]) -> None:
    assert not [name for name, text in logs.items() if CONTROL.search(text)]
    for name, text in logs.items():
        if name.endswith(("-web.log", "-worker.log")):
            assert not [line for line in text.splitlines() if "level" not in json.loads(line)], name


def test_nothing_of_it_was_taken_for_a_defect(logs: dict[str, bytes]) -> None:
    told = [line for name, text in logs.items() if name.endswith("-web.log") for line in text.splitlines()]
    assert not [line for line in told if b'"level":"error"' in line or b"Traceback" in line][:5]


@pytest.mark.parametrize("what", SECRET)
def test_no_event_holds_a_secret(cast: Cast, what: str) -> None:
    for path in Path(cast.shop.data).glob("bus.db*"):
        assert not SECRET[what].search(path.read_bytes()), path.name
