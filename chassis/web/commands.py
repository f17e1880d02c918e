"""Commands of other services: the short way through the web process, without the routing and requests of Flask."""

from collections.abc import Callable, Iterable
from typing import Any

from pydantic.alias_generators import to_camel

from chassis import deadline
from chassis.errors import DomainError, InvalidInput
from chassis.messages import ANY_SERVICE, Command
from chassis.observe import trace
from chassis.schema import Schema
from chassis.settings import settings
from chassis.web import bodies, problems
from chassis.web.middleware import CALLER, CALLING_SERVICE, ROUTE
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

CommandHandler = Callable[[Any], Schema | None]


class CommandApp:
    """The WSGI app of one command, inside the middleware. Hooks of Flask do not see commands."""

    def __init__(self, command: type[Command], handler: CommandHandler) -> None:
        self.path = f"/internal/{command.name}"
        self._command, self._handler = command, handler
        self._errors: tuple[type[DomainError], ...] = (InvalidInput, *command.errors)
        self._is_for_all = ANY_SERVICE in command.callers
        self._id_field = next((name for name in command.model_fields if name.endswith("_id")), "")
        self._id_name = to_camel(self._id_field)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[ROUTE] = self.path
        try:
            response = self._respond(environ)
        except Exception as error:
            response = problems.to_response(error, self.path, self._errors, is_command=True)
        return response(environ, start_response)

    def _respond(self, environ: dict[str, Any]) -> WsgiResponse:
        caller = environ[CALLING_SERVICE]
        if not caller:
            raise problems.unauthenticated()
        environ[CALLER] = caller
        if not self._is_for_all and caller not in self._command.callers:
            raise Problem(403, f"{caller} is not among the callers of this command.")
        deadline.remaining(settings().deadline)
        media_type, coding = environ.get("CONTENT_TYPE", ""), environ.get("HTTP_CONTENT_ENCODING", bodies.NO_CODING)
        received = self._command.read(bodies.parse_json(environ["wsgi.input"].read(), media_type, coding))
        if self._id_field:
            trace.bind(**{self._id_name: getattr(received, self._id_field)})
        reply = self._handler(received)
        return WsgiResponse.of_json(reply.to_compact_json() if reply else b"{}", 200, {})
