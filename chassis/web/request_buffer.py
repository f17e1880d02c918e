"""Reading a request off a socket bit by bit: when is it whole, and when is it too large to go on?"""

import re
from contextvars import ContextVar

arrived: ContextVar[float] = ContextVar("arrived", default=0.0)
"""When the request that this thread is at was whole, on the monotonic clock."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*(\d+)[ \t]*\r\n")
_DIGITS = 18  # of a length; one that has more is too large all the same
_LINE = 256  # bytes of a chunk's size line that nobody needs

_DEADLINE = re.compile(rb"\r\nx-deadline-ms:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)

MORE, WHOLE = 0, 200
"""Verdicts beside the status of a refusal (413, 431)."""


class RequestBuffer:
    """The bytes of one request so far. It finds the end only; whether they are valid is the parser's to say."""

    def __init__(self, head_limit: int, body_limit: int, begun: bytes = b"") -> None:
        self.buffer = bytearray(begun)
        self.expects = False
        """The client waits for `100 Continue` before it sends the body."""
        self._head_limit, self._body_limit = head_limit, body_limit
        self._body = self._until = self._searched = 0
        self._chunked = False

    def add(self, data: bytes) -> int:
        """Take what has come and say MORE, WHOLE or the status to refuse it with."""
        self.buffer += data
        if not self._body:
            while self.buffer.startswith(b"\r\n"):
                del self.buffer[:2]
            end = self.buffer.find(b"\r\n\r\n", max(self._searched - 3, 0))
            self._searched = len(self.buffer)
            if max(end, 0 if end >= 0 else self._searched) > self._head_limit:
                return 431
            if end < 0:
                return MORE
            self._begin_body(end)
        verdict = self._chunks() if self._chunked else self._length()
        self.expects = self.expects and verdict == MORE
        return verdict

    def _begin_body(self, end: int) -> None:
        head = bytes(self.buffer[: end + 2]).lower()
        self._body = self._until = end + 4
        self._chunked = b"\r\ntransfer-encoding:" in head
        self.expects = b"\r\nexpect: 100-continue\r\n" in head
        if not self._chunked and (length := _LENGTH.search(head)):
            self._until += int(length[1][:_DIGITS])

    def _length(self) -> int:
        if self._until - self._body > self._body_limit:
            return 413
        return WHOLE if len(self.buffer) >= self._until else MORE

    def _chunks(self) -> int:
        """`_until` is where the next chunk begins."""
        while (line := self.buffer.find(b"\r\n", self._until)) >= 0:
            try:
                size = int(self.buffer[self._until : line].partition(b";")[0], 16)
            except ValueError:
                return WHOLE
            if size < 0:
                return WHOLE
            if size == 0:
                return self._bounded(WHOLE if self.buffer.find(b"\r\n\r\n", line) >= 0 else MORE)
            self._until = line + 2 + size + 2
        return self._bounded(WHOLE if len(self.buffer) - self._until > _LINE else MORE)

    def _bounded(self, verdict: int) -> int:
        """Chunks cost bytes of their own: as many again are allowed."""
        return 413 if max(len(self.buffer), self._until) - self._body > 2 * self._body_limit else verdict


def priority(request: bytes) -> int:
    """Health comes first, then what is part of a checkout or changes something else, and browsing last."""
    method, _, rest = request[:256].partition(b" ")
    if rest.partition(b" ")[0].endswith(b"/health"):
        return 0
    return 2 if method in (b"GET", b"HEAD") else 1


def allowance(request: bytes, longest: float) -> float:
    """Seconds until the deadline that a request of a service brings along, or `longest`."""
    if b" /internal/" in request[:32]:
        head = request[: request.find(b"\r\n\r\n") + 4]
        if given := _DEADLINE.search(head):
            return min(longest, int(given[1]) / 1000)
    return longest
