"""Calls to the public routes of other services on behalf of a client: with its token and its address.

    products = on_behalf("products")

    found = products.get("/api/products/{id}", id=id, query={"fields": "price"})
    products.put("/api/carts/{id}/items/{product}", id="mine", product=id, token=user_token, json={"quantity": 2})

The callee counts its rate limits for the client, and not for the calling service: a service token beside the client's
address proves who says so. Deadline and trace go along as with every call. Metrics are labeled with the template of the
path, never with its parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partialmethod
from typing import Any
from urllib.parse import urlencode

import orjson

from chassis import calls
from chassis.calls.outcomes import ProblemResponse
from chassis.calls.tokens import CLIENT_ADDRESS_HEADER
from chassis.schema import ID

_NOT_FOUND = {"type": "/problems/not-found", "title": "Not found", "detail": "There is no such object."}

_address: ContextVar[str] = ContextVar("client address", default="")


@contextmanager
def acting_for(address: str) -> Iterator[None]:
    """Make the calls of the current work on behalf of the client with this address."""
    token = _address.set(address)
    try:
        yield
    finally:
        _address.reset(token)


@dataclass(frozen=True)
class Answer:
    """A response: `body` is parsed JSON, None for a response without one. The names of headers have no case."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True)
class PublicRoutes:
    """The public routes of one service."""

    service: str

    def request(
        self,
        method: str,
        path: str,
        /,
        *,
        token: str | None = None,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        key: str = "",
        accept: Sequence[int] = (),
        **parts: str,
    ) -> Answer:
        """Return the response of a route: `path` is its template, and `parts` are its ids.

        `token` is the access token of the user, and `key` the Idempotency-Key, with which a write may be repeated. A
        value of `query` that is None is left out; a list is repeated. A 4xx in `accept` is returned like a success.

        Raises: ProblemResponse, NotAttempted, OutcomeUnknown, DeadlineExceeded.
        """
        if not all(ID.fullmatch(part) for part in parts.values()):
            return self._answer(
                404, _NOT_FOUND, {}, accept
            )  # as the callee would: in a path it could name another route
        target = path.format_map(parts)
        if given := {name: value for name, value in (query or {}).items() if value is not None}:
            target += f"?{urlencode(given, doseq=True)}"
        sent = {CLIENT_ADDRESS_HEADER: _address.get(), **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if key:
            sent["Idempotency-Key"] = key
        body = b""
        if json is not None:
            body, sent["Content-Type"] = orjson.dumps(json), "application/json"
        client, repeatable = calls.current(), method == "GET" or bool(key)
        response, data = client.request(self.service, method, path, target, sent, body, repeatable)
        return self._answer(response.status, data, response.headers, accept)

    def _answer(self, status: int, body: Any, headers: Mapping[str, str], accept: Sequence[int]) -> Answer:
        if status >= 400 and status not in accept:
            raise ProblemResponse(self.service, status, body, headers)
        return Answer(status, body, headers)

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    delete = partialmethod(request, "DELETE")


def on_behalf(service: str) -> PublicRoutes:
    """Return the public routes of a service, for calls on behalf of clients."""
    return PublicRoutes(service)
