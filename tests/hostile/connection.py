"""A connection to the platform that sends anything and checks every response."""

import http.client
import json
import select
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROBLEM = {"type", "title", "status", "detail", "instance", "traceId"}


@dataclass(frozen=True)
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def data(self) -> Any:
        return json.loads(self.body) if self.body else None

    def mismatch(self, *statuses: int) -> str:
        """Return how this response differs from a correct one with one of these statuses, or ""."""
        if self.status not in statuses:
            return f"{self.status}, not {' or '.join(map(str, statuses))}: {self.body[:300]!r}"
        return self.malformed() if self.status >= 400 else ""

    def malformed(self) -> str:
        """Return why this is not a valid problem document, or ""."""
        if self.headers["Content-Type"] != "application/problem+json":
            return f"a {self.status} of type {self.headers['Content-Type']}"
        problem = self.data()
        if not problem.keys() >= PROBLEM or problem["status"] != self.status or b"Traceback" in self.body:
            return f"not a problem document: {self.body[:300]!r}"
        return ""


class Connection:
    """One kept-alive connection, for one thread."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """Send a request, in chunks if the headers say so."""
        idle = self._connection.sock
        if idle and select.select([idle], [], [], 0)[0]:
            self._connection.close()  # the server has closed it after a pause
        fields = {name: value.encode("latin-1", "replace") for name, value in headers.items()}
        chunked = "Transfer-Encoding" in headers
        try:
            self._connection.request(method, target, body, fields, encode_chunked=chunked)
            response = self._connection.getresponse()
            return Response(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
