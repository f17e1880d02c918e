"""The bytes of a request as they arrive: finds its end, and rejects what is too large."""

import re
from contextvars import ContextVar

arrived: ContextVar[float] = ContextVar("arrived", default=0.0)
"""When the request of this thread was complete, on the monotonic clock."""
is_above_limit: ContextVar[bool] = ContextVar("is_above_limit", default=False)
"""Whether the response to the request of this thread makes the server pace its caller."""

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*(\d+)[ \t]*\r\n")
_IMAGE = re.compile(rb"\r\ncontent-type:[ \t]*image/")
_CODINGS = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r]*)")
_MAX_LENGTH_DIGITS = 18  # a longer length is too large anyway
_MAX_SIZE_LINE_BYTES = 256  # the size line of a chunk

_HEALTH = re.compile(rb"(/api/[^/]+)?/health")
_HTML = re.compile(rb"\r\naccept:[^\r]*text/html", re.IGNORECASE)
_DEADLINE = re.compile(rb"\r\nx-deadline-ms:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)

INCOMPLETE, COMPLETE = 0, 200
"""Results of `add`, besides the error statuses 413 and 431."""


class RequestBuffer:
    """The bytes of one request so far. It only finds the end; the parser decides whether they are valid.

    An image whose length the head gives may have `max_image_bytes`, any other body `max_body_bytes`.
    """

    def __init__(
        self, max_head_bytes: int, max_body_bytes: int, received: bytes = b"", max_image_bytes: int = 0
    ) -> None:
        self.buffer = bytearray(received)
        self.expects_continue = False
        """Whether the client waits for `100 Continue` before it sends the body."""
        self.is_large = False
        """Whether the body has more than `max_body_bytes`, as an image may."""
        self._max_head_bytes, self._max_body_bytes = max_head_bytes, max_body_bytes
        self._max_image_bytes = max_image_bytes
        self._body_start = self._end = self._searched = 0
        self._chunked = False

    @property
    def head(self) -> bytes:
        """The request line and the header fields of a complete request."""
        return bytes(self.buffer[: self._body_start])

    def add(self, data: bytes) -> int:
        """Add received bytes. Return INCOMPLETE, COMPLETE, or the status to reject the request with."""
        self.buffer += data
        if not self._body_start:
            while self.buffer.startswith(b"\r\n"):
                del self.buffer[:2]
            end = self.buffer.find(b"\r\n\r\n", max(self._searched - 3, 0))
            self._searched = len(self.buffer)
            if max(end, 0 if end >= 0 else self._searched) > self._max_head_bytes:
                return 431
            if end < 0:
                return INCOMPLETE
            self._start_body(end)
        result = self._find_chunked_end() if self._chunked else self._find_end()
        self.expects_continue = self.expects_continue and result == INCOMPLETE
        return result

    def _start_body(self, head_end: int) -> None:
        head = bytes(self.buffer[: head_end + 2]).lower()
        self._body_start = self._end = head_end + 4
        codings = _CODINGS.findall(head)
        self._chunked = bool(codings) and codings[-1].rstrip().endswith(b"chunked")
        self.expects_continue = b"\r\nexpect: 100-continue\r\n" in head
        if not codings and (length := _CONTENT_LENGTH.search(head)):  # the parser rejects codings without chunks
            self._end += int(length[1][:_MAX_LENGTH_DIGITS])
            self.is_large = self._end - self._body_start > self._max_body_bytes and bool(_IMAGE.search(head))

    def _find_end(self) -> int:
        if self._end - self._body_start > (self._max_image_bytes if self.is_large else self._max_body_bytes):
            return 413
        return COMPLETE if len(self.buffer) >= self._end else INCOMPLETE

    def _find_chunked_end(self) -> int:
        """`_end` is where the next chunk starts."""
        while (line_end := self.buffer.find(b"\r\n", self._end)) >= 0:
            try:
                size = int(self.buffer[self._end : line_end].partition(b";")[0], 16)
            except ValueError:
                return COMPLETE
            if size < 0:
                return COMPLETE
            if size == 0:
                return self._bounded(COMPLETE if self.buffer.find(b"\r\n\r\n", line_end) >= 0 else INCOMPLETE)
            self._end = line_end + 2 + size + 2
        is_line_too_long = len(self.buffer) - self._end > _MAX_SIZE_LINE_BYTES
        return self._bounded(COMPLETE if is_line_too_long else INCOMPLETE)

    def _bounded(self, result: int) -> int:
        """Return 413 for too large a body; the framing of chunks may take as many bytes again."""
        too_large = max(len(self.buffer), self._end) - self._body_start > 2 * self._max_body_bytes
        return 413 if too_large else result


def is_internal(request: bytes) -> bool:
    """Whether it is for a route of other services alone, which no Ingress serves."""
    return _path(request).startswith(b"/internal/")


def is_for_people(request: bytes) -> bool:
    """Whether a browser shows the response to its user: it asks for HTML, and for no route of the API."""
    return bool(_HTML.search(request)) and not _path(request).startswith((b"/api/", b"/internal/"))


def priority_of(request: bytes) -> int:
    """Return 0 for health checks, 1 for commands and signing keys, 2 for writes of clients, 3 for reads of clients.

    A checkout depends on commands that other services sent, and every service on the keys.
    """
    method, path = request[:256].partition(b" ")[0], _path(request)
    reads = method in (b"GET", b"HEAD")
    if reads and _HEALTH.fullmatch(path):
        return 0
    if is_internal(request) or (reads and path == b"/api/auth/jwks.json"):
        return 1
    return 3 if reads else 2


def _path(request: bytes) -> bytes:
    return request[:256].partition(b" ")[2].partition(b" ")[0].partition(b"?")[0]


def time_left_s(request: bytes, max_s: float) -> float:
    """Return the seconds until the deadline that a calling service sent, at most `max_s`."""
    if b" /internal/" in request[:32]:
        head = request[: request.find(b"\r\n\r\n") + 4]
        if given := _DEADLINE.search(head):
            return min(max_s, int(given[1]) / 1000)
    return max_s
