"""A connection to the platform that sends anything and looks at every answer."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROBLEM = {"type", "title", "status", "detail", "instance", "traceId"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def data(self) -> Any:
        return json.loads(self.body) if self.body else None

    def wrong(self, *statuses: int) -> str:
        """What is wrong with this answer where one of these statuses is right; "" if nothing is."""
        if self.status not in statuses:
            return f"{self.status}, not {' or '.join(map(str, statuses))}: {self.body[:300]!r}"
        return self.malformed() if self.status >= 400 else ""

    def malformed(self) -> str:
        """Why this is no problem of RFC 9457 as the contract says; "" if it is one."""
        if self.headers["Content-Type"] != "application/problem+json":
            return f"a {self.status} of type {self.headers['Content-Type']}"
        told = self.data()
        if not told.keys() >= PROBLEM or told["status"] != self.status or b"Traceback" in self.body:
            return f"no problem of this platform: {self.body[:300]!r}"
        return ""


class Line:
    """One kept connection, for one thread."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send a request; its body goes in chunks where the headers say so."""
        fields = {name: value.encode("latin-1", "replace") for name, value in headers.items()}
        chunked = "Transfer-Encoding" in headers
        try:
            self._connection.request(method, target, body, fields, encode_chunked=chunked)
            response = self._connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
