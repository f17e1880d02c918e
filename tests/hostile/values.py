"""The table of hostile values: invalid values for each kind of field, and the statuses that reject them.

A value is JSON text as on the wire, so that it can be one that no library would write.
"""

import json
from collections.abc import Iterator
from io import BytesIO

from PIL import Image

from tests.hostile.contract import Schema

Value = tuple[str, tuple[int, ...]]
"""JSON text, and the statuses of which one is correct."""

REJECTED, MALFORMED, EITHER = (422,), (400,), (400, 422)

_NOT_TEXT = ["1", "true", "1.5", "[]", "{}", '{"$gt": ""}', '{"$ne": null}', '["a"]']
_CONTROL_CHARS = ["a\x00b", "\x00", "\x1b[31mred", "a\x7fb", "a\x85b", "a\x08b", "\x9b31m"]
_BROKEN_STRINGS = [r'"ab\ud800"', r'"\udc00ab"', r'"\ud800\ud800"', r'"ab\x41"', r'"ab\u12"', '"a\nb"', "'ab'"]
_INVALID_IDS = [
    "", "a.b", "$gt", "a b", "../../etc", "%00", "a\n", "\u00e9", "x" * 256, "' OR 1=1 --", "<b>", "a/b", "\u0661",
]  # fmt: skip
_INVALID_EMAILS = [
    "ab.example.com", "a@b@c.com", "a@", "@b.com", "a b@c.com", "a@b.com\r\nBcc: c@d.com", "a@b", "a@b..com",
    "<a@b.com>", "a@b.com,c@d.com", "a@[127.0.0.1]", "javascript:a@b.com?",
]  # fmt: skip
_NOT_INTEGERS = ['"1"', "true", "1.5", "1.0", "1e0", '""', "[]", "{}", '{"$gt": 0}', '{"$inc": 1}', "[1]", '"0x1"']
_NOT_NUMBERS = ["NaN", "Infinity", "-Infinity", "01", "+1", "0x10", "1_000", ".5", "1.", "--1"]
_HUGE_NUMBERS = [
    "1e309", "-1e309", "9223372036854775808", "-9223372036854775809", "1" + "0" * 400, "-1" + "0" * 5000,
    "1e999999999",
]  # fmt: skip
_INVALID_DECIMALS = [
    "-1", '"-1"', '"1e3"', '"NaN"', '"Infinity"', '"1,5"', '" 1"', '"1 "', '"1_0"', '"+1"', '"0x1"', '""', '"1."',
    '".5"', '"1.0000001"', "0.0000001", '"\u0663"', "true", "[]", "{}", '{"$gt": 0}',
    "1e-999999999", "0e-999999999", '"1\\u0000"', "1000000000000000",
]  # fmt: skip

_INVALID_PRICES = ["1.999", '"1.999"', "1000000000000"]

UNKNOWN_FIELDS = [
    "role", "status", "paid", "id", "_id", "version", "isAdmin", "price", "total", "totalAmount", "currency",
    "createdAt", "erased", "dedupKey", "outbox", "$where", "$set", "a.b", "__proto__", "constructor", "", "\u0000",
]  # fmt: skip
"""Fields that bodies do not have; one that a body has is left out."""

WRONG_SHAPES = ["[]", "null", "1", '"text"', "true", "[{}]", '{"$gt": ""}', '{"a.b": 1}']

NOT_JSON = [
    b"", b" ", b"{", b"}", b"{]", b'{"a": }', b"{'a': 1}", b'{"a": 1,}', b'{"a": 1} {}', b'{"a": 1}//', b"undefined",
    b'{"a": NaN}', b'{"a": 01}', b'{"a": 1, "a": 1}', b'{"a": {"b": 1, "b": 2}}', b'\xef\xbb\xbf{"a": 1}',
    b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\xc0\xaf"}', b'\xff\xfe{\x00}\x00', b'{"a": "\x00"}',
    b'{"\xff": 1}', b"[" * 30_000, b'{"a":' * 9_000, b'{"a": ' + b"[" * 21 + b"]" * 21 + b"}",
    b'{"a": ' * 21 + b"1" + b"}" * 21, b"PK\x03\x04", b"<a/>", b"a=1&b=2",
]  # fmt: skip

WRONG_MEDIA_TYPES = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
    "text/json", "application/jsonp", "application/json, text/plain", "*/*", "application/problem+json",
]  # fmt: skip
CONTENT_CODINGS = ["gzip", "br", "deflate", "zstd", "gzip, identity", "x-nothing"]


def _picture() -> bytes:
    made = BytesIO()
    Image.new("RGB", (4, 4), "red").save(made, "PNG")
    return made.getvalue()


PICTURE = _picture()
NO_PICTURES = [
    b"", b" ", b"{}", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"%PDF-1.7", b"PK\x03\x04", b"\xff\xd8\xff\xd9", b"RIFF\0\0\0\0WEBP", PICTURE[:20], PICTURE[:-1],
    b"\x00" + PICTURE, PICTURE + PICTURE, PICTURE + b"<script>alert(1)</script>", PICTURE.replace(b"IDAT", b"IDAX"),
    PICTURE[:16] + b"\xff" * 8 + PICTURE[24:],
]  # fmt: skip

INVALID_IDS_IN_PATHS = [
    "..", "%2e%2e", ".", "%00", "a%00b", "a%2Fb", "a%5Cb", "x" * 65, "%F0%9F%92%A9", "%ff%fe", "%ED%A0%80", "$gt",
    "a.b", "%7B%22$gt%22:%22%22%7D", "a%20b", "a;b", "a%0a", "a%0d%0aX:1", "'--", "*", "%25%30%30", "a+b", "%",
    "%zz", "..%2f..%2finternal%2fcharge", "\u0661".encode().hex("%"),
]  # fmt: skip

UNKNOWN_QUERIES = [
    "limit[$ne]=1", "limit[]=1", "$where=1", "%24gt=1", "nonsense=1", "=1", "_id=1", "role=admin", "a.b=1",
    "constructor=1", "LIMIT=1", "limit%00=1",
]  # fmt: skip
INVALID_LIMITS = [
    "0", "101", "-1", "1e1", "ten", "1000000000", "9" * 400, "", "1.0", "%2B1", "1_0", "%201", "%D9%A1", "0x1",
    "1%00", "null", "true", "NaN", "1;2", "1%0A",
]  # fmt: skip
INVALID_CURSORS = [
    "x", "AAAA", "%27%20OR%201=1", "%25", "%C3%A9", "x" * 1001, "e30=", "../..", "null", "%00", "%7B%7D", "W10",
    "%ff", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "$gt", "a%0a",
]  # fmt: skip
INVALID_QUERY_TEXT = ["%00", "a%00b", "a%1B%5B31m", "a%0D%0Ab", "%C2%85a"]

INVALID_KEYS = ["", "x" * 256, "a\tb", "\xa0", "\xad", "\x80"]
INVALID_VERSIONS = [
    "", "1", '"x"', 'W/"777"', '"-1"', '"777", "778"', '"99999999999999999999"', "' OR 1=1", '""', '"1"x', "**", "\xe9",
    '"0x1"', '"1\u00b2"', '"777-0123456789abcdef"', '"777", *', '"1', '"' * 4000, '"777",' * 1000,
    "W/" * 3000, ", " * 3000,
]  # fmt: skip
"""Values of If-Match that accept no version of an object with fewer than 777 changes."""
UNMET_CONDITIONS = [each for each in INVALID_VERSIONS if each] + ['"1"', 'W/"1"', "\x80", '"0-0123456789abcdef"']
"""Values of If-None-Match that name no representation."""


def invalid_values(name: str, schema: Schema) -> Iterator[Value]:
    """Yield the values that a field of this schema rejects."""
    kind = schema.get("type")
    if not schema.get("nullable"):
        yield "null", REJECTED
    if kind == "integer":
        yield from ((text, REJECTED) for text in _NOT_INTEGERS)
        yield from ((text, MALFORMED) for text in _NOT_NUMBERS)
        yield from ((text, EITHER) for text in _HUGE_NUMBERS)
        yield from ((str(number), REJECTED) for number in _outside(schema))
    elif kind == "array":
        yield from ((text, REJECTED) for text in ('"a"', "1", "{}", "[null]", "[1]", "[[]]", '[{"$gt": ""}]', "true"))
        yield json.dumps([{}] * (schema["maxItems"] + 1)), REJECTED
        if schema.get("minItems"):
            yield "[]", REJECTED
    elif isinstance(kind, list):
        yield from ((text, REJECTED) for text in _INVALID_DECIMALS)
        if name != "expectedTotal":  # there, these are totals that differ
            yield from ((text, REJECTED) for text in _INVALID_PRICES)
        yield from ((text, MALFORMED) for text in _NOT_NUMBERS)
        yield from ((text, EITHER) for text in _HUGE_NUMBERS)
    elif kind == "string":
        yield from ((text, REJECTED) for text in _NOT_TEXT)
        yield from ((text, EITHER) for text in _BROKEN_STRINGS)
        yield from ((json.dumps(text), REJECTED) for text in _texts(name, schema))


def _texts(name: str, schema: Schema) -> Iterator[str]:
    yield from _CONTROL_CHARS
    if name != "description":
        yield "ab\r\nX-Injected: 1"
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
        yield "\U0001f4a9" * (schema["maxLength"] + 1)
    if schema.get("minLength", 0) > 1:
        yield "x" * (schema["minLength"] - 1)
    if "pattern" in schema or "enum" in schema:
        yield from _INVALID_IDS
    if name == "paymentToken":
        yield from CARDS
    if name == "email" and "minLength" in schema:  # sign-up validates it; sign-in only compares it
        yield from _INVALID_EMAILS


def _outside(schema: Schema) -> list[int]:
    return [schema["minimum"] - 1, schema["maximum"] + 1, 2**31 if schema["maximum"] < 2**31 else 2**62, -(2**31) - 1]


CARDS = [
    "4242424242424242", "4242-4242-4242-4242", "4242 4242 4242 4242", "4242_4242_4242_4242", "-4242424242424242_",
    "378282246310005", "6304000000000000", "3782-822463-10005",
]  # fmt: skip
"""Numbers of payment cards, as people write them."""

UNUSUAL_TEXTS = [
    "Zoe\u0308", "\u202egnp.exe", "\ufeffa", "\U0001f4a9\U0001f4a9", "<script>alert(1)</script>",
    "'; DROP TABLE x;--", "{{7*7}}", "${jndi:ldap://x}", "%s%n", "\u0130\u0131", "../../etc/passwd", '"},{"$set":1',
]  # fmt: skip
"""Unusual texts that are valid all the same."""
