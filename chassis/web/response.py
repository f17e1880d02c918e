"""The response class of every route."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response


class WsgiResponse(Response):
    """A response whose body is in memory, sent without werkzeug's work for streams, ranges and relative locations."""

    default_mimetype = None  # a response without a body has no type

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body: bytes = self.get_data()
        headers = self.headers.to_wsgi_list()
        if not body and self.status_code not in (204, 304) and "Content-Length" not in self.headers:
            headers.append(("Content-Length", "0"))  # never twice: a proxy may reject that
        start_response(self.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
