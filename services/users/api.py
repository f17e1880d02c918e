"""`/api/users`."""

from typing import Annotated, Literal

from flask import request
from pydantic import Field, StringConstraints

from chassis.errors import IfMatch, NotFound
from chassis.schema import SINGLE_LINE, Id, RequestBody, Schema, Timestamp, growing
from chassis.store import Doc
from chassis.web import idempotency, limits
from chassis.web.api import ADMIN, ANYONE, SIGNED_IN, Api, Response, require_self
from chassis.web.auth import Caller
from chassis.web.idempotency import Attempt
from chassis.web.paging import Page, PageQuery, find_page
from services.users import account_mails, application, credentials, domain, repository
from services.users.passwords import Password

api = Api()

Email = Annotated[str, StringConstraints(min_length=3, max_length=254), SINGLE_LINE]
AnyEmail = Annotated[str, StringConstraints(max_length=254), SINGLE_LINE]
"""An address to look for; it need not be valid."""
Name = Annotated[str, StringConstraints(min_length=2, max_length=100), SINGLE_LINE]
Age = Annotated[int, Field(ge=0, le=150)]
Language = Literal["en", "de"]
CurrentPassword = Annotated[str, StringConstraints(max_length=128), SINGLE_LINE]


class NewUser(RequestBody):
    email: Email
    name: Name
    password: Password
    age: Age | None = None


class UserChange(RequestBody):
    name: Name = ""
    email: Email = ""
    age: Age | None = None
    language: Language = "en"
    """The language of mails."""
    marketing: bool = False
    """Whether the shop may send mails that advertise."""
    password: Password = ""
    current_password: CurrentPassword = ""
    """Your own password; needed for a change of `email` or `password`."""


class Erasure(RequestBody):
    current_password: CurrentPassword = ""
    """Your own password."""


class UserQuery(PageQuery):
    email: AnyEmail = ""
    """Only the user with this address, in any spelling."""


class User(Schema):
    id: Id
    email: str
    name: str
    age: int | None
    language: Annotated[Language, growing(*domain.LANGUAGES)]
    """The language of mails; at first that of the browser at sign-up."""
    marketing: bool
    """Whether the user agreed to mails that advertise."""
    role: Literal["customer", "admin"]
    locked: bool
    verified: bool
    """Whether the user has confirmed the e-mail address; where no mail is sent, every user counts as verified."""
    created_at: Timestamp
    updated_at: Timestamp


Users = Page[User]


@api.post("/api/users", auth=ANYONE, responses={201: User}, errors=(domain.EmailTaken,))
def sign_up(body: NewUser, attempt: Attempt) -> Response:
    """Create an account. `Accept-Language` chooses the language of its mails."""
    accepted = [tag.partition("-")[0].lower() for tag in request.accept_languages.values()]  # the best one first
    language = next((each for each in accepted if each in domain.LANGUAGES), domain.LANGUAGES[0])
    account = application.create(attempt.created_id, body.email, body.name, body.password, body.age, language=language)
    return to_response(account, status=201)


@api.get("/api/users/me", auth=SIGNED_IN, responses={200: User}, errors=(NotFound,))
def get_me(caller: Caller) -> Response:
    """Get the signed-in user."""
    return to_response(repository.get(caller.id))


@api.get("/api/users/{id}", auth=SIGNED_IN, responses={200: User})
def get_user(id: str, caller: Caller) -> Response:
    """Get one user: yourself, or any user for an administrator."""
    require_self(caller, id, "user")
    return to_response(repository.get(id))


@api.get("/api/users", auth=ADMIN, responses={200: Users})
def list_users(query: UserQuery) -> Users:
    """List all users, oldest first, or find one by e-mail address."""
    if query.email:
        found = repository.find_by_email(query.email)
        return Users(items=[to_view(found)] if found else [], next_cursor=None)
    docs, cursor = find_page(repository.accounts, {"erased": False}, query)
    return Users(items=[to_view(doc) for doc in docs], next_cursor=cursor)


@api.put(
    "/api/users/{id}",
    auth=SIGNED_IN,
    responses={200: User},
    errors=(domain.EmailTaken, credentials.ReauthenticationRequired),
)
def change_user(id: str, body: UserChange, caller: Caller, attempt: Attempt, if_match: IfMatch) -> Response:
    """Change fields of a user. A new e-mail address or password ends all sessions of the user, the caller's own too."""
    require_self(caller, id, "user")
    limit_guesses(caller, body.current_password)
    fields = {name: getattr(body, name) for name in body.model_fields_set - {"current_password"}}
    changed = application.change(
        caller.id, id, fields, body.current_password, if_match, attempt.dedup_key, limit_credential_changes
    )
    return to_response(changed)


@api.delete(
    "/api/users/{id}",
    auth=SIGNED_IN,
    responses={204: None},
    errors=(credentials.ReauthenticationRequired, domain.LastAdministrator),
)
def delete_user(id: str, body: Erasure, caller: Caller, if_match: IfMatch) -> Response:
    """Erase a user: all services delete the personal data, and all sessions end."""
    require_self(caller, id, "user")
    limit_guesses(caller, body.current_password)
    application.erase(caller.id, id, body.current_password, if_match, idempotency.forget, limit_credential_changes)
    return Response(status=204)


def limit_guesses(caller: Caller, current_password: str) -> None:
    """Limit how often the holder of an access token may guess the password of its user. Raises RateLimited.

    Each session has a limit of its own: the thief of its token does not block the others.
    """
    if current_password:
        limits.hit("current-password", "20/minute", caller.session or caller.id, limits.count_in_store)


def limit_credential_changes(account_id: str) -> None:
    """Limit the changes of the credentials of an account, by its owner and by others. Raises RateLimited."""
    limits.hit("credential-changes", "30/hour", account_id, limits.count_in_store)


def to_view(account: Doc) -> User:
    return User(
        id=account["_id"],
        **domain.profile(account),
        age=account["age"],
        role=account["role"],
        locked=credentials.is_locked(account),
        verified=account_mails.is_verified(account),
        created_at=account["createdAt"],
        updated_at=account["updatedAt"],
    )


def to_response(account: Doc, status: int = 200) -> Response:
    headers = {"Location": f"/api/users/{account['_id']}"} if status == 201 else {}
    return Response(to_view(account), status, version=account["version"], headers=headers)
