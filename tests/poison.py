"""Records that no consumer may stop at: each is handled, skipped or parked, and the next record is handled."""

from dataclasses import dataclass, field

VALID_TIMES = [
    "2026-11-30T11:00:00Z",
    "2026-11-30t11:00:00z",
    "2026-11-30 11:00:00Z",
    "2016-12-31T23:59:60Z",
    "2026-11-30T11:00:00.123456789+05:30",
    "2026-11-30T11:00:00-00:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
]
OTHER_TIMES = [
    "2026-11-30T11:00:00",
    "2026-11-30",
    "2026-11-30T24:00:00Z",
    "2026-11-30T11:00:60Z",
    "2026-11-30T11:00:00+0530",
    "2026-W49-1T11:00:00Z",
    "0000-01-01T00:00:00Z",
    "",
    "1796036830",
    "Mon, 30 Nov 2026 11:00:00 GMT",
    "yesterday",
]
LARGE = b'{"counter":"' + b"x" * 1_000_000
"""More than our producer sends, less than a broker takes."""


@dataclass(frozen=True)
class Poison:
    """A record by its differences from a valid `counter.counted`; a header that is None is left out."""

    name: str
    outcome: str = "parked"
    headers: dict[str, str | None] = field(default_factory=dict)
    value: bytes | None = None
    has_headers: bool = True
    key: str = ""

    def record_key(self, position: int) -> str:
        return self.key or f"poison-{position}"

    def record_headers(self, position: int) -> dict[str, str]:
        key = self.record_key(position)
        headers: dict[str, str | None] = {
            "ce_specversion": "1.0",
            "ce_id": f"{key}:1",
            "ce_source": "counters",
            "ce_type": "counter.counted",
            "ce_time": "2026-11-30T11:00:00.000Z",
            "ce_subject": key,
            "ce_sequence": "1",
            **self.headers,
        }
        return {name: text for name, text in headers.items() if text is not None} if self.has_headers else {}

    def record_value(self, position: int) -> bytes:
        valid = b'{"counter":"%s","step":1}' % self.record_key(position).replace("\0", "").encode()
        return valid if self.value is None else self.value


POISON = [
    *(Poison(f"time {text!r}", "handled", {"ce_time": text}) for text in VALID_TIMES),
    *(Poison(f"time {text!r}", headers={"ce_time": text}) for text in OTHER_TIMES),
    Poison("no headers", has_headers=False),
    Poison("no time", headers={"ce_time": None}),
    *(Poison(f"sequence {text!r}", headers={"ce_sequence": text}) for text in ("first", "0", "-1", "1_0", " 1", "")),
    Poison("sequence of 5,000 digits", headers={"ce_sequence": "9" * 5000}),
    Poison("sequence beyond 64 bits", headers={"ce_sequence": str(10**30)}),
    Poison("source that is no path", headers={"ce_source": "$a..b"}),
    Poison("source of NUL", headers={"ce_source": "a\0b"}),
    Poison("unknown type", headers={"ce_type": "counter.teleported"}),
    Poison("header names of operators", "handled", {"$set": "1", "a.b": "2", "": "3", "\0": "4"}),
    Poison("subject of NUL, with a handler that fails", headers={"ce_subject": "a\0b", "ce_source": ""}),
    Poison("key of NUL", value=b"{", key="poison\0key"),
    Poison("trace that is none", "handled", {"traceparent": "00-\N{SNOWMAN}"}),
    Poison("no JSON", value=b"\0 no JSON"),
    Poison("no UTF-8", value=b'{"counter":"\xff"}'),
    Poison("no value", value=b""),
    Poison("a list", value=b"[]"),
    Poison("lone surrogate in a field's name", value=b'{"counter":"c","\\ud800":1}'),
    Poison("NUL in a field's name", value=b'{"counter":"c","step":"x","\\u0000":1}'),
    Poison("nested 100,000 times", value=b"[" * 100_000),
    Poison("number too large for the field", value=b'{"counter":"c","step":1%s}' % (b"0" * 400)),
    Poison("large value", value=LARGE),
    Poison("large value without headers", value=LARGE, has_headers=False),
    Poison("a handler that raises", value=b'{"counter":"raises","step":1}'),
    Poison("a handler that raises NUL and a lone surrogate", value=b'{"counter":"raises text","step":1}'),
    Poison("a handler that raises an error without a text", value=b'{"counter":"raises no text","step":1}'),
    Poison("a handler that exits", value=b'{"counter":"exits","step":1}'),
]


class NoText(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise ValueError("no text")


HANDLER_ERRORS: dict[str, BaseException] = {
    "raises": ValueError("I cannot"),
    "raises text": ValueError("\0 \ud800 " + "x" * 100_000),
    "raises no text": NoText(),
    "exits": SystemExit(1),
}
"""What the handler of `counter.counted` raises, by counter."""
