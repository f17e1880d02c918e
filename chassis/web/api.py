"""Routes: declared beside their handler, checked in one order, and described in the contract as declared.

    api = Api()

    @api.post("/api/orders", auth=SIGNED_IN, responses={201: OrderView, 202: OrderView}, errors=(PaymentDeclined,))
    def place(caller: Caller, body: PlaceOrder, attempt: Attempt) -> Response: ...

The checks run in this order: size, authentication, rate, schema, authorization, logic. The name of an argument selects
what it gets: `body`, `query`, `caller`, `attempt`, `if_match` (the versions in If-Match, or None), `secret` (of the
`secret_header`), `content` (the bytes of a body that is not JSON), or a part of the path.

No cache keeps a response, unless its route declares `public_for_s`. A response with a version has an ETag, and answers
`If-None-Match`.

A route declares its domain errors, but for those that follow from its form: NotFound of a path with ids, InvalidInput,
VersionConflict of `if_match`, KeyReused and KeyInUse of an idempotent write.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Required, TypedDict, Unpack

from flask import Request, current_app
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from chassis.errors import DomainError, InvalidInput, NotFound, VersionConflict
from chassis.schema import ID, QueryParams, RequestBody, Schema
from chassis.web import conditions, idempotency, limits, problems
from chassis.web.auth import Caller
from chassis.web.bodies import read_content, read_json
from chassis.web.middleware import RESPONSE_HEADERS
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

ANYONE, OPTIONAL, SIGNED_IN, ADMIN = "anyone", "optional", "signed in", "admin"
"""Who may use a route. OPTIONAL: anyone, and a request with an access token is that of its user."""
OPERATIONS = "chassis.operations"
"""Key of the app's extensions: its operations by endpoint."""
Handler = Callable[..., "Response | Schema"]


@dataclass(frozen=True)
class Content:
    """A body that is not JSON."""

    data: bytes
    media_type: str


@dataclass(frozen=True)
class Response:
    """A response that is more than a body: `version` becomes a part of the ETag."""

    body: Schema | Content | None = None
    status: int = 200
    version: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_wsgi(self, default_headers: Mapping[str, str], if_none_match: str = "") -> WsgiResponse:
        """Return the response, or a 304 if the client has it; a header of its own wins over a default."""
        headers = {**default_headers, **self.headers}
        if self.body is None:
            return WsgiResponse(status=self.status, headers=headers)
        if isinstance(self.body, Content):
            return WsgiResponse([self.body.data], self.status, headers, content_type=self.body.media_type)
        body = self.body.to_json()
        if self.version is not None:
            headers["ETag"] = tag = conditions.etag(self.version, body)
            if if_none_match and conditions.is_unchanged(if_none_match, tag):
                return WsgiResponse(status=304, headers=headers)
        return WsgiResponse.of_json(body, self.status, headers)


@dataclass(frozen=True)
class Operation:
    """One declared route; the contract is generated from these."""

    method: str
    path: str
    auth: str
    function: Handler
    responses: Mapping[int, type[Schema] | type[Content] | None]
    errors: tuple[type[DomainError], ...]
    idempotent: bool
    body: type[RequestBody] | None
    query: type[QueryParams] | None
    arguments: frozenset[str]
    public_for_s: int
    admin_parameters: Mapping[str, str]
    secret_header: str
    media_types: tuple[str, ...]

    @cached_property
    def _empty_query(self) -> QueryParams | None:
        return self.query.read({}) if self.query else None

    @cached_property
    def _public_headers(self) -> dict[str, str]:
        """The headers of a success for an anonymous client."""
        return {"Cache-Control": f"public, max-age={self.public_for_s}"} if self.public_for_s else {}

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return re.sub(r"{(\w+)}", r"<\1>", self.path)

    @property
    def names(self) -> list[str]:
        """The names of the parts of the path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def implied_errors(self) -> tuple[type[DomainError], ...]:
        """The domain errors that follow from the form of the route."""
        return (
            InvalidInput,
            *((NotFound,) if self.names else ()),
            *((VersionConflict,) if "if_match" in self.arguments else ()),
            *((idempotency.KeyReused, idempotency.KeyInUse) if self.idempotent else ()),
        )

    @property
    def all_errors(self) -> tuple[type[DomainError], ...]:
        """Every domain error that the route may respond with, each once."""
        return tuple(dict.fromkeys((*self.errors, *self.implied_errors)))

    def needs_token(self, request: Request) -> bool:
        """Return whether the caller is who its token says; for other requests no token is read."""
        if self.auth in (SIGNED_IN, ADMIN):
            return True
        return (self.auth == OPTIONAL or self._is_for_admins(request)) and "Authorization" in request.headers

    def _is_for_admins(self, request: Request) -> bool:
        return bool(self.admin_parameters and request.query_string) and any(
            name in request.args for name in self.admin_parameters
        )

    def __call__(self, request: Request, caller: Caller, parts: dict[str, str]) -> WsgiResponse:
        """Handle a request of this caller."""
        add_response_headers(request, limits.hit_for_request(self.method, caller))
        if any(not ID.fullmatch(part) for part in parts.values()):
            raise NotFound("object")
        values: dict[str, Any] = {**parts, "caller": caller}
        if self.secret_header:
            values["secret"] = request.headers.get(self.secret_header, "")
        if self.query:
            is_given = request.query_string
            values["query"] = self.query.read(_query(request, self.query)) if is_given else self._empty_query
        elif request.query_string and request.args:
            raise Problem(422, "This route takes no query.")
        if self.body:
            is_left_out = self.method == "DELETE" and not request.get_data()
            values["body"] = self.body.read({} if is_left_out else read_json(request))
        if "content" in self.arguments:
            values["content"] = read_content(request, self.media_types)
        if "if_match" in self.arguments:
            values["if_match"] = conditions.accepted_versions(request.headers.get("If-Match"))
        if self.auth == ADMIN or self._is_for_admins(request):
            _require_admin(caller)

        key = request.headers.get("Idempotency-Key") if self.idempotent else None
        if key is None:
            if_none_match = request.environ.get("HTTP_IF_NONE_MATCH", "") if self.method == "GET" else ""
            return self._call(values, idempotency.without_key() if "attempt" in self.arguments else None, if_none_match)
        return self._run_once(key, request, values, next(iter(parts.values()), ""))

    def _run_once(self, key: str, request: Request, values: dict[str, Any], subject_id: str) -> WsgiResponse:
        def work(attempt: idempotency.Attempt) -> WsgiResponse:
            try:
                return self._call(values, attempt)
            except ValidationError as error:  # the input is valid: a defect, after which something may be created
                return problems.defect(error, request.path)
            except Exception as error:  # an error that created something is kept and replayed, too
                return current_app.make_response(current_app.handle_user_exception(error))  # type: ignore[return-value]

        caller: Caller = values["caller"]
        precondition = request.headers.get("If-Match", "").encode()
        secret: str = values.get("secret", "")
        body = secret.encode() + precondition + b"\n" + request.get_data()  # another secret may not see this response
        read_again = partial(_read_again, request.path, caller, secret)
        operation = f"{self.method} {request.path}"
        return idempotency.run_once(
            key, caller.name, operation, subject_id, body, work, read_again, lambda: caller.is_admin
        )

    def read_for(self, caller: Caller, secret: str, parts: Mapping[str, str]) -> WsgiResponse:
        """Read the object of a GET route for a caller who has just changed it."""
        if self.auth == ADMIN:
            _require_admin(caller)
        query = self._empty_query
        if self.query and self.admin_parameters and caller.is_admin:
            query = self.query.read(self.admin_parameters)
        return self._call({**parts, "caller": caller, "query": query, "secret": secret}, None)

    def _call(
        self, values: dict[str, Any], attempt: idempotency.Attempt | None, if_none_match: str = ""
    ) -> WsgiResponse:
        values["attempt"] = attempt
        result = self.function(**{name: value for name, value in values.items() if name in self.arguments})
        response = result if isinstance(result, Response) else Response(result)
        return response.to_wsgi({} if values["caller"].id else self._public_headers, if_none_match)


class RouteOptions(TypedDict, total=False):
    """What a route declares."""

    auth: Required[str]
    """ANYONE, OPTIONAL, SIGNED_IN or ADMIN."""
    responses: Required[Mapping[int, type[Schema] | type[Content] | None]]
    """Status -> body of each success."""
    errors: tuple[type[DomainError], ...]
    """The domain errors, but for those that the form of the route implies."""
    idempotent: bool
    """Whether a write takes Idempotency-Key; true by default."""
    public_for_s: int
    """Seconds for which any cache may give a response to GET to anyone; 0, the default, for none."""
    admin_parameters: Mapping[str, str]
    """Parameters of the query that only an administrator may send, on a route for anyone; none by default.

    With the values given here, the route shows an administrator every object that administrators can change.
    """
    secret_header: str
    """A header that may hold a secret, which gives access to one object without an account; none by default."""
    media_types: tuple[str, ...]
    """Media types of what is not JSON: of the `content` that a route takes, or of the Content that it responds with."""


class Api:
    """The public routes of one service."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        return self._route("GET", path, **options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        return self._route("POST", path, **options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        return self._route("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        return self._route("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        return self._route("DELETE", path, **options)

    def _route(self, method: str, path: str, **options: Unpack[RouteOptions]) -> Callable[[Handler], Handler]:
        def declare(function: Handler) -> Handler:
            hints = inspect.get_annotations(function, eval_str=True)
            operation = Operation(
                method,
                path,
                options["auth"],
                function,
                options["responses"],
                options.get("errors", ()),
                options.get("idempotent", True) and method != "GET",
                hints.get("body"),
                hints.get("query"),
                frozenset(inspect.signature(function).parameters),
                options.get("public_for_s", 0),
                options.get("admin_parameters", {}),
                options.get("secret_header", ""),
                options.get("media_types", ()),
            )
            self.operations.append(operation)
            return function

        return declare


def _read_again(path: str, caller: Caller, secret: str, location: str) -> WsgiResponse:
    """Return the object that a write made or changed: at `location`, else under the path of the write or above it.

    Raises Problem 404 if it is gone.
    """
    operations: dict[str, Operation] = current_app.extensions[OPERATIONS]
    routes = current_app.url_map.bind("")
    parent = path.rpartition("/")[0]
    for candidate in filter(None, (location, path, parent, parent.rpartition("/")[0])):
        try:
            endpoint, parts = routes.match(candidate, method="GET")
            return operations[endpoint].read_for(caller, secret, parts)
        except (HTTPException, KeyError):
            continue
        except NotFound:
            break
    raise Problem(404, "What this request made is gone.")


def _require_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise Problem(403, "This needs an administrator.")


def require_self(caller: Caller, user: str, what: str) -> None:
    """Raises NotFound unless the caller is this user or an administrator."""
    if caller.id != user and not caller.is_admin:
        raise NotFound(what)


def add_response_headers(request: Request, headers: Mapping[str, str]) -> None:
    """Add headers to the response, even if it is an error; a header that the response sets itself wins."""
    request.environ[RESPONSE_HEADERS].update(headers)


def _query(request: Request, query: type[QueryParams]) -> dict[str, Any]:
    found: dict[str, Any] = dict(request.args.lists())
    for name, values in found.items():
        if len(values) == 1:
            found[name] = values[0]
        elif name not in query.repeatable:
            raise Problem(422, f"The query has {name[:50]} more than once.")
    return found
