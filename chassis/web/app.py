"""The Flask app of a service: its public routes, the commands other services send it, its health."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import orjson
from flask import Flask, Request, request
from flask.sessions import NullSession, SessionInterface
from pydantic.alias_generators import to_camel
from werkzeug.routing import MapAdapter

from chassis import deadline
from chassis.calls.tokens import ServiceTokens
from chassis.messages import Command
from chassis.observe import metrics, trace
from chassis.schema import Schema
from chassis.settings import settings
from chassis.web import bodies, problems
from chassis.web.api import ANYONE, Api, Operation
from chassis.web.auth import Caller, Verifier
from chassis.web.idempotency import REPLAYED
from chassis.web.limits import RateLimited
from chassis.web.middleware import CALLER, ROUTE, Middleware
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

Answering = Callable[[Any], Schema | None]


class _NoSessions(SessionInterface):
    """A caller is known by a token alone."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none

    def save_session(self, *_: Any) -> None:
        """There is nothing to save."""


class _App(Flask):
    """Flask, less what is paid for and not used: sessions, routes that depend on the host, hooks, coroutines."""

    session_interface = _NoSessions()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(None)
        return self.url_map.bind("", path_info=request.path, default_method=request.method)

    def full_dispatch_request(self) -> WsgiResponse:
        """Every view gives an WsgiResponse, and there are no hooks to call."""
        try:
            return self.dispatch_request()  # type: ignore[return-value]
        except Exception as error:
            return self.handle_user_exception(error)  # type: ignore[return-value]

    def do_teardown_request(self, *_: Any) -> None:
        """Nobody asked to be told."""

    def do_teardown_appcontext(self, *_: Any) -> None:
        """Nobody asked to be told."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def make_app(
    name: str, apis: list[Api], commands: Mapping[type[Command], Answering], verifier: Verifier, tokens: ServiceTokens
) -> Middleware:
    """The WSGI app of the service `name`."""
    app = _App(name, static_folder=None)
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
        statuses[endpoint] = dict(operation.errors)
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

    @app.errorhandler(Exception)
    def failed(error: Exception) -> WsgiResponse:
        return problems.to_response(error, request.path, statuses.get(request.endpoint or "", {}))

    return Middleware(app.wsgi_app)


def client_address(request: Request) -> str:
    """The client's address; what a proxy says of it counts only from a trusted one."""
    address = request.remote_addr or ""
    if address and _trusted(address):
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        return forwarded[:64] or address
    return address


@lru_cache(1024)
def _trusted(address: str) -> bool:
    """Whether a proxy with this address says the truth about its clients."""
    return any(ip_address(address) in network for network in settings().trusted_proxies)


def _public(operation: Operation, authenticate: Callable[[Request, bool], Caller]) -> Callable[..., WsgiResponse]:
    def view(**parts: str) -> WsgiResponse:
        asked = _current(operation.path)
        try:
            answer = operation(asked, authenticate(asked, operation.auth != ANYONE), parts)
        except RateLimited:
            metrics.rate_limited[operation.path].inc()
            raise
        if operation.idempotent and REPLAYED in answer.headers:
            metrics.idempotent_replays[operation.path].inc()
        return answer

    return view


def _internal(command: type[Command], handler: Answering, tokens: ServiceTokens) -> Callable[[], WsgiResponse]:
    id = next((name for name in command.model_fields if name.endswith("_id")), "")

    def view() -> WsgiResponse:
        asked = _current(f"/internal/{command.name}")
        kind, _, token = asked.headers.get("Authorization", "").partition(" ")
        caller = tokens.caller(token) if kind == "Bearer" else None
        if caller is None:
            raise problems.unauthenticated()
        if not caller:
            raise Problem(403, "This service may not call here.")
        asked.environ[CALLER] = caller
        deadline.remaining(settings().deadline)
        said = command.read(bodies.read_json(asked))
        if id:
            trace.about(**{to_camel(id): getattr(said, id)})
        answer = handler(said)
        return WsgiResponse(orjson.dumps(answer.data() if answer else {}), content_type="application/json")

    return view


def _current(route: str) -> Request:
    """The request under way, itself and not Flask's stand-in for it, which costs at each use; its route is noted."""
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    asked.environ[ROUTE] = route
    return asked


def _healthy(name: str) -> Callable[[], WsgiResponse]:
    body = orjson.dumps({"status": "healthy", "service": name})

    def view() -> WsgiResponse:
        _current("/health")
        return WsgiResponse(body, content_type="application/json")

    return view
