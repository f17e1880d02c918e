"""The Flask app of a service: its public routes, the commands other services send it, its health."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from flask import Flask, Request, request
from werkzeug.wrappers import Response

from chassis.calls import deadline
from chassis.calls.tokens import ServiceTokens
from chassis.events.messages import Command
from chassis.settings import settings
from chassis.web import bodies, problems
from chassis.web.api import Api, Operation
from chassis.web.auth import Caller, Verifier
from chassis.web.middleware import CALLER, ROUTE, Middleware
from chassis.web.problems import Problem
from chassis.wire import Wire

Answering = Callable[[Any], Wire | None]


def make_app(
    name: str, apis: list[Api], commands: Mapping[type[Command], Answering], verifier: Verifier, tokens: ServiceTokens
) -> Middleware:
    """The WSGI app of the service `name`."""
    app = Flask(name, static_folder=None)
    app.url_map.merge_slashes = False
    statuses: dict[str, dict[str, int]] = {}

    def authenticate(request: Request, required: bool) -> Caller:
        address = client_address(request)
        if not required:
            return Caller("", "", address)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        user = verifier.verify(token.strip()) if kind.lower() == "bearer" else None
        if user is None:
            raise problems.unauthenticated()
        request.environ[CALLER] = user[0]
        return Caller(user[0], user[1], address)

    for operation in (operation for api in apis for operation in api.operations):
        endpoint = f"{operation.method} {operation.path}"
        statuses[endpoint] = dict(operation.refuses)
        app.add_url_rule(
            operation.rule,
            endpoint,
            _public(operation, authenticate),
            methods=[operation.method],
            provide_automatic_options=False,
        )
    for command, handler in commands.items():
        path = f"/internal/{command.name}"
        view = _internal(command, handler, tokens)
        app.add_url_rule(path, path, view, methods=["POST"], provide_automatic_options=False)
    for path in ("/health", f"/api/{name}/health"):
        app.add_url_rule(path, path, _healthy(name), methods=["GET"], provide_automatic_options=False)

    @app.before_request
    def note_route() -> None:
        rule = request.url_rule
        request.environ[ROUTE] = rule.rule if rule else "none"
        # Read it whatever becomes of the request: the server closes a connection on which a body was left.
        if len(request.get_data()) > bodies.LARGEST:
            raise Problem(413, f"A body has at most {bodies.LARGEST} bytes.")

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        return problems.of(error, request.path, statuses.get(request.endpoint or "", {}))

    return Middleware(app.wsgi_app)


def client_address(request: Request) -> str:
    """The client's address; what a proxy says of it counts only from a trusted one."""
    address = request.remote_addr or ""
    if address in settings().trusted_proxies:
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        return forwarded[:64] or address
    return address


def _public(operation: Operation, authenticate: Callable[[Request, bool], Caller]) -> Callable[..., Response]:
    def view(**parts: str) -> Response:
        return operation(authenticate, **parts)

    return view


def _internal(command: type[Command], handler: Answering, tokens: ServiceTokens) -> Callable[[], Response]:
    def view() -> Response:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        caller = tokens.caller(token) if kind == "Bearer" else None
        if caller is None:
            raise problems.unauthenticated()
        if not caller:
            raise Problem(403, "This service may not call here.")
        request.environ[CALLER] = caller
        deadline.remaining(settings().deadline)
        answer = handler(command.read(bodies.read_json(request)))
        return Response(orjson.dumps(answer.data() if answer else {}), content_type="application/json")

    return view


def _healthy(name: str) -> Callable[[], Response]:
    body = orjson.dumps({"status": "healthy", "service": name})

    def view() -> Response:
        return Response(body, content_type="application/json")

    return view
