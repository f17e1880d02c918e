"""The response of every route."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Response


class Answer(Response):
    """A body that is whole in memory, sent without what werkzeug does for streams, ranges and relative locations."""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body: bytes = self.get_data()
        headers = self.headers.to_wsgi_list()
        if body or self.status_code != 204:
            headers.append(("Content-Length", str(len(body))))
        start(self.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
