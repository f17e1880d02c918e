"""Routes: declared beside the function that answers, checked in one order, and described in the contract as they are.

    api = Api()

    @api.post("/api/orders", auth=SIGNED_IN, responses={201: OrderView, 202: OrderView}, errors={"payment_declined": 402})
    def place(caller: Caller, body: PlaceOrder, attempt: Attempt) -> Response: ...

The order of checks: size, authentication, rate, schema, authorisation, logic. An argument is filled by its name:
`body`, `query`, `caller`, `attempt`, `if_match` (the version in If-Match, or None), or a part of the path.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Request

from chassis.errors import NotFound
from chassis.schema import ID, QueryParams, RequestBody, Schema
from chassis.web import idempotency, limits, problems
from chassis.web.auth import Caller
from chassis.web.bodies import read_json
from chassis.web.middleware import RESPONSE_HEADERS
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

ANYONE, SIGNED_IN, ADMIN = "anyone", "signed in", "admin"
Handler = Callable[..., "Response | Schema"]


@dataclass(frozen=True)
class Response:
    """An answer that is more than a body: `version` becomes the ETag."""

    body: Schema | None = None
    status: int = 200
    version: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> WsgiResponse:
        headers = dict(self.headers)
        if self.version is not None:
            headers["ETag"] = f'"{self.version}"'
        if self.body is None:
            return WsgiResponse(status=self.status, headers=headers)
        body = self.body.model_dump_json(by_alias=True)
        return WsgiResponse(body, self.status, headers, content_type="application/json")


@dataclass(frozen=True)
class Operation:
    """One route as it was declared; the contract is made from these."""

    method: str
    path: str
    auth: str
    function: Handler
    responses: Mapping[int, type[Schema] | None]
    errors: Mapping[str, int]
    idempotent: bool
    body: type[RequestBody] | None
    query: type[QueryParams] | None
    arguments: frozenset[str]

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return re.sub(r"{(\w+)}", r"<\1>", self.path)

    @property
    def names(self) -> list[str]:
        """The names of the parts of the path."""
        return re.findall(r"{(\w+)}", self.path)

    def __call__(self, request: Request, caller: Caller, parts: dict[str, str]) -> WsgiResponse:
        """Answer a request of this caller."""
        add_response_headers(request, limits.of_request(self.method, caller))
        if any(not ID.fullmatch(part) for part in parts.values()):
            raise NotFound("object")
        given: dict[str, Any] = {**parts, "caller": caller}
        if self.query:
            given["query"] = self.query.read(_single(request))
        elif request.query_string and request.args:
            raise Problem(422, "This route takes no query.")
        if self.body:
            given["body"] = self.body.read(read_json(request))
        if "if_match" in self.arguments:
            given["if_match"] = _version(request.headers.get("If-Match"))
        if self.auth == ADMIN and not caller.is_admin:
            raise Problem(403, "This needs an administrator.")

        key = request.headers.get("Idempotency-Key") if self.idempotent else None
        if key is None:
            return self._answer(given, idempotency.without_key() if "attempt" in self.arguments else None)

        def answered(attempt: idempotency.Attempt) -> WsgiResponse:
            try:
                return self._answer(given, attempt)
            except Exception as error:
                return problems.to_response(error, request.path, dict(self.errors))

        about = next(iter(parts.values()), "")
        precondition = request.headers.get("If-Match", "").encode()
        body = precondition + b"\n" + request.get_data()
        return idempotency.run_once(key, caller.name, f"{self.method} {request.path}", about, body, answered)

    def _answer(self, given: dict[str, Any], attempt: idempotency.Attempt | None) -> WsgiResponse:
        given["attempt"] = attempt
        reply = self.function(**{name: value for name, value in given.items() if name in self.arguments})
        return reply.response() if isinstance(reply, Response) else Response(reply).response()


class Api:
    """The public routes of one service."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def get(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._route("GET", path, **declared)

    def post(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._route("POST", path, **declared)

    def put(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._route("PUT", path, **declared)

    def patch(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._route("PATCH", path, **declared)

    def delete(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._route("DELETE", path, **declared)

    def _route(
        self,
        method: str,
        path: str,
        *,
        auth: str,
        responses: Mapping[int, type[Schema] | None],
        errors: Mapping[str, int] | None = None,
        idempotent: bool = True,
    ) -> Callable[[Handler], Handler]:
        """`errors` is the status of each kind of refusal; `idempotent`: a write that takes Idempotency-Key."""

        def declare(function: Handler) -> Handler:
            hints = inspect.get_annotations(function, eval_str=True)
            operation = Operation(
                method,
                path,
                auth,
                function,
                responses,
                errors or {},
                idempotent and method != "GET",
                hints.get("body"),
                hints.get("query"),
                frozenset(inspect.signature(function).parameters),
            )
            self.operations.append(operation)
            return function

        return declare


def require_self(caller: Caller, user: str, what: str) -> None:
    """Go on for the owner and for administrators; for anyone else there is no such thing."""
    if caller.id != user and not caller.is_admin:
        raise NotFound(what)


def add_response_headers(request: Request, headers: Mapping[str, str]) -> None:
    """Add headers to the answer, be it an error; an answer that has them already keeps its own."""
    request.environ.setdefault(RESPONSE_HEADERS, {}).update(headers)


def _single(request: Request) -> dict[str, str]:
    if repeated := [name for name, values in request.args.lists() if len(values) > 1]:
        raise Problem(422, f"The query has {repeated[0][:50]} more than once.")
    return request.args.to_dict()


def _version(header: str | None) -> int | None:
    if header is None or header.strip() == "*":
        return None
    found = re.fullmatch(r'\s*"([0-9]{1,18})"\s*', header)
    return int(found[1]) if found else -1
