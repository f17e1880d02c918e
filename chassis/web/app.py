"""The Flask app of a service: its public routes, its commands, its health."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from flask import (
    Flask,
    Request,
    appcontext_tearing_down,
    request,
    request_finished,
    request_started,
    request_tearing_down,
)
from flask import Response as FlaskResponse
from flask.globals import _cv_request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from chassis.calls.tokens import ServiceTokens
from chassis.errors import DomainError
from chassis.messages import Command
from chassis.observe import metrics
from chassis.web import limits, problems
from chassis.web.access import Access
from chassis.web.api import OPERATIONS, Api, Operation, add_response_headers
from chassis.web.auth import Caller
from chassis.web.client_address import client_address
from chassis.web.commands import CommandApp, CommandHandler
from chassis.web.idempotency import REPLAYED
from chassis.web.limits import RateLimited
from chassis.web.middleware import CALLER, ROUTE, Middleware
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

if TYPE_CHECKING:
    from chassis.web.page_views import PageViews
    from chassis.web.pages import Pages


class _NoSessions(SessionInterface):
    """Null sessions: a token alone identifies a caller, and writing to a session raises."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none

    def save_session(self, *_: Any) -> None:
        """Null sessions have nothing to save."""


class _App(Flask):
    """Flask without sessions and host matching; without hooks, a request does not pay for them.

    What each override saves: docs/performance.md.
    """

    session_interface = _NoSessions()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(None)
        return self.url_map.bind("", path_info=request.path, default_method=request.method)

    def full_dispatch_request(self) -> FlaskResponse:
        if (
            self.before_request_funcs
            or self.after_request_funcs
            or self.url_value_preprocessors
            or request_started.receivers
            or request_finished.receivers
        ):
            return super().full_dispatch_request()
        self._got_first_request = True
        try:
            result = self.dispatch_request()
        except Exception as error:
            result = self.handle_user_exception(error)
        response = result if isinstance(result, WsgiResponse) else self.make_response(result)
        return self.process_response(response) if _cv_request.get()._after_request_functions else response

    def do_teardown_request(self, *error: Any) -> None:
        if self.teardown_request_funcs or request_tearing_down.receivers:
            super().do_teardown_request(*error)

    def do_teardown_appcontext(self, *error: Any) -> None:
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(*error)


def make_app(
    name: str,
    apis: list[Api],
    commands: Mapping[type[Command], CommandHandler],
    access: Access,
    tokens: ServiceTokens,
    pages: "Pages | None" = None,
) -> Middleware:
    """Return the WSGI app of the service `name`; its `flask` takes hooks before the first request."""
    app = _App(name, static_folder=None)
    app.url_map.merge_slashes = False
    declared: dict[str, tuple[type[DomainError], ...]] = {}
    operations = app.extensions[OPERATIONS] = {}

    for operation in (operation for api in apis for operation in api.operations):
        endpoint = f"{operation.method} {operation.path}"
        declared[endpoint], operations[endpoint] = operation.all_errors, operation
        app.add_url_rule(
            operation.rule,
            endpoint,
            _public(operation, access),
            methods=[operation.method],
            provide_automatic_options=False,
        )
    command_apps = [CommandApp(command, handler) for command, handler in commands.items()]
    for command_app in command_apps:  # without a view: Flask rejects the other methods
        app.add_url_rule(command_app.path, command_app.path, methods=["POST"], provide_automatic_options=False)
    for path in ("/health", f"/api/{name}/health"):
        app.add_url_rule(path, path, _health(name), methods=["GET"], provide_automatic_options=False)

    middleware = Middleware(app, tokens, {each.path: each for each in command_apps})
    views = _page_views(pages, middleware, declared) if pages else None

    @app.errorhandler(Exception)
    def respond_to_error(error: Exception) -> WsgiResponse:
        path = request.path
        problem = problems.to_response(error, path, declared.get(request.endpoint or "", ()))
        return views.show_problem(problem, path) if views else problem

    return middleware


def _page_views(
    pages: "Pages", middleware: Middleware, declared: dict[str, tuple[type[DomainError], ...]]
) -> "PageViews":
    """Add the pages to the app. Only a service with pages imports what they need."""
    from chassis.web import html_problems
    from chassis.web.page_views import PageViews

    views = PageViews(pages)
    views.add_to(middleware.flask, declared)
    middleware.face = html_problems.face
    return views


def _public(operation: Operation, access: Access) -> Callable[..., WsgiResponse]:
    def view(**parts: str) -> WsgiResponse:
        current = _current_request(operation.path)
        try:
            response = operation(current, _authenticate(operation, current, access), parts)
        except RateLimited:
            metrics.rate_limited[operation.path].inc()
            raise
        if operation.idempotent and REPLAYED in response.headers:
            metrics.idempotent_replays[operation.path].inc()
        return response

    return view


def _authenticate(operation: Operation, request: Request, access: Access) -> Caller:
    """Return the caller. A 401 counts against a limit of its own; a caller above the limit costs no read.

    Raises Problem, TransientError.
    """
    anonymous = Caller("", "", client_address(request))
    if not operation.needs_token(request):
        return anonymous
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        caller = access.identify(token.strip() if kind.lower() == "bearer" else "", anonymous.address)
        limits.refuse_exceeded(operation.method, caller)
        caller = access.confirm(caller)
    except Problem as problem:
        if problem.status == HTTPStatus.UNAUTHORIZED:
            add_response_headers(request, limits.hit_unauthenticated(operation.method, anonymous.network))
        raise
    request.environ[CALLER] = caller.id
    return caller


def _current_request(route: str) -> Request:
    """Note the route and return the request itself: Flask's proxy costs at each use."""
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    current.environ[ROUTE] = route
    return current


def _health(name: str) -> Callable[[], WsgiResponse]:
    body = orjson.dumps({"status": "healthy", "service": name})

    def view() -> WsgiResponse:
        _current_request("/health")
        return WsgiResponse(body, content_type="application/json")

    return view
