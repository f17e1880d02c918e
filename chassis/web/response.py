"""The response of every route."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response


class WsgiResponse(Response):
    """A body that is whole in memory, sent without what werkzeug does for streams, ranges and relative locations."""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body: bytes = self.get_data()
        headers = self.headers.to_wsgi_list()
        if not body and self.status_code != 204 and "Content-Length" not in self.headers:
            headers.append(("Content-Length", "0"))  # that of a body is there: twice, and a proxy may refuse the answer
        start(self.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
