"""The response class of every route."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Self

from flask import Response
from werkzeug.datastructures import Headers

_STATUS = {each.value: (f"{each.value} {each.phrase.upper()}", each.value) for each in HTTPStatus}


class WsgiResponse(Response):
    """A response whose body is in memory, sent without werkzeug's work for streams, ranges and relative locations."""

    default_mimetype = None  # a response without a body has no type

    @classmethod
    def of_json(cls, body: bytes, status: int, headers: Mapping[str, str]) -> Self:
        """Return a response with these headers.

        It does without the constructor of werkzeug, which copies and checks each header and takes 4 % of a request; see
        docs/performance.md. gunicorn checks the headers, too.
        """
        made = cls.__new__(cls)
        made.headers = Headers()
        made.headers._list = [
            *headers.items(),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        made._status, made._status_code = _STATUS[status]
        made.response, made.direct_passthrough, made._on_close = [body], False, []
        return made

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = self.response[0] if type(self.response) is list and len(self.response) == 1 else self.get_data()
        headers = self.headers.to_wsgi_list()
        if not body and self.status_code not in (204, 304) and "Content-Length" not in self.headers:
            headers.append(("Content-Length", "0"))  # never twice: a proxy may reject that
        start_response(self.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
