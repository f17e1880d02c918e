"""What administrators do to accounts: roles, locks, sessions."""

from chassis.schema import RequestBody
from chassis.web.api import ADMIN, Api, Response
from chassis.web.auth import Caller
from services.users import administration, domain
from services.users.api import User, to_response

api = Api()


class RoleChange(RequestBody):
    role: administration.Role


@api.post("/api/users/{id}/lock", auth=ADMIN, responses={200: User}, errors=(domain.LastAdministrator,))
def lock_user(id: str, caller: Caller) -> Response:
    """Forbid a user to sign in, and end all sessions of the user."""
    return to_response(administration.lock(id, caller.id))


@api.post("/api/users/{id}/unlock", auth=ADMIN, responses={200: User})
def unlock_user(id: str, caller: Caller) -> Response:
    """Let a locked user sign in again."""
    return to_response(administration.unlock(id, caller.id))


@api.post("/api/users/{id}/role", auth=ADMIN, responses={200: User}, errors=(domain.LastAdministrator,))
def change_role(id: str, body: RoleChange, caller: Caller) -> Response:
    """Make a user an administrator or a customer; a change ends all sessions of the user."""
    return to_response(administration.set_role(id, body.role, caller.id))


@api.delete("/api/users/{id}/sessions", auth=ADMIN, responses={204: None})
def end_sessions(id: str, caller: Caller) -> Response:
    """End all sessions of a user."""
    administration.end_sessions(id, caller.id)
    return Response(status=204)
