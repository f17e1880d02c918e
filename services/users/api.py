"""`/api/users` and `/api/auth`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chassis.errors import NotFound
from chassis.schema import SINGLE_LINE, Id, RequestBody, Schema, Timestamp
from chassis.store import Doc
from chassis.web import idempotency, limits
from chassis.web.api import ADMIN, ANYONE, SIGNED_IN, Api, Response, require_self
from chassis.web.auth import Caller
from chassis.web.idempotency import Attempt
from chassis.web.paging import Page, PageQuery, find_page
from services.users import application, domain, keys, repository, sessions
from services.users.settings import settings

api = Api()

Email = Annotated[str, StringConstraints(min_length=3, max_length=254), SINGLE_LINE]
Name = Annotated[str, StringConstraints(min_length=2, max_length=100), SINGLE_LINE]
Password = Annotated[str, StringConstraints(min_length=8, max_length=128), SINGLE_LINE]
Age = Annotated[int, Field(ge=0, le=150)]
Token = Annotated[str, StringConstraints(max_length=200), SINGLE_LINE]


class NewUser(RequestBody):
    email: Email
    name: Name
    password: Password
    age: Age | None = None


class UserChange(RequestBody):
    name: Name = ""
    email: Email = ""
    age: Age | None = None
    password: Password = ""


class Credentials(RequestBody):
    email: Annotated[str, StringConstraints(max_length=254), SINGLE_LINE]
    password: Annotated[str, StringConstraints(max_length=128), SINGLE_LINE]


class RefreshToken(RequestBody):
    refresh_token: Token


class User(Schema):
    id: Id
    email: str
    name: str
    age: int | None
    role: Literal["customer", "admin"]
    created_at: Timestamp
    updated_at: Timestamp


Users = Page[User]


class Tokens(Schema):
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int


class Key(Schema):
    kid: str
    kty: str
    crv: str
    x: str
    use: str
    alg: str


class KeySet(Schema):
    keys: list[Key]


@api.post("/api/users", auth=ANYONE, responses={201: User}, errors=(domain.EmailTaken,))
def sign_up(body: NewUser, attempt: Attempt) -> Response:
    """Create an account."""
    account = application.create(attempt.created_id, body.email, body.name, body.password, body.age)
    return _user(account, status=201)


@api.post("/api/auth/login", auth=ANYONE, responses={200: Tokens}, errors=(domain.WrongCredentials,), idempotent=False)
def sign_in(body: Credentials, caller: Caller) -> Tokens:
    """Sign in with e-mail address and password."""
    account_and_address = f"{domain.email_key(body.email)} {caller.address}"
    limits.hit("sign-in", "5/minute", account_and_address, limits.count_in_store)
    limits.hit("sign-in-address", "20/minute", caller.address, limits.count_in_store)
    return _tokens(*application.sign_in(body.email, body.password))


@api.post("/api/auth/refresh", auth=ANYONE, responses={200: Tokens}, errors=(sessions.SignedOut,), idempotent=False)
def refresh(body: RefreshToken) -> Tokens:
    """Replace a refresh token by a new pair of tokens. A second use of a token ends the session."""
    return _tokens(*application.renew(body.refresh_token))


@api.post("/api/auth/logout", auth=ANYONE, responses={204: None}, errors=(sessions.SignedOut,), idempotent=False)
def sign_out(body: RefreshToken) -> Response:
    """Sign out: end the session of a refresh token."""
    sessions.end(body.refresh_token)
    return Response(status=204)


@api.get("/api/auth/jwks.json", auth=ANYONE, responses={200: KeySet})
def public_keys() -> KeySet:
    """Get the keys that sign access tokens."""
    return KeySet.read(keys.public_keys())


@api.get("/api/users/me", auth=SIGNED_IN, responses={200: User}, errors=(NotFound,))
def get_me(caller: Caller) -> Response:
    """Get the signed-in user."""
    return _user(repository.get(caller.id))


@api.get("/api/users/{id}", auth=SIGNED_IN, responses={200: User})
def get_user(id: str, caller: Caller) -> Response:
    """Get one user: yourself, or any user for an administrator."""
    require_self(caller, id, "user")
    return _user(repository.get(id))


@api.get("/api/users", auth=ADMIN, responses={200: Users})
def list_users(query: PageQuery) -> Users:
    """List all users, oldest first."""
    docs, cursor = find_page(repository.accounts, {"erased": False}, query)
    return Users(items=[_view(doc) for doc in docs], next_cursor=cursor)


@api.put("/api/users/{id}", auth=SIGNED_IN, responses={200: User}, errors=(domain.EmailTaken,))
def change_user(id: str, body: UserChange, caller: Caller, attempt: Attempt, if_match: int | None) -> Response:
    """Change fields of a user."""
    require_self(caller, id, "user")
    fields = {name: getattr(body, name) for name in body.model_fields_set}
    return _user(application.change(id, fields, if_match, attempt.dedup_key))


@api.delete("/api/users/{id}", auth=SIGNED_IN, responses={204: None})
def delete_user(id: str, caller: Caller, if_match: int | None) -> Response:
    """Erase a user: all services delete the personal data."""
    require_self(caller, id, "user")
    application.erase(id, if_match, idempotency.forget)
    return Response(status=204)


def _view(account: Doc) -> User:
    return User(
        id=account["_id"],
        email=account["email"],
        name=account["name"],
        age=account["age"],
        role=account["role"],
        created_at=account["createdAt"],
        updated_at=account["updatedAt"],
    )


def _user(account: Doc, status: int = 200) -> Response:
    headers = {"Location": f"/api/users/{account['_id']}"} if status == 201 else {}
    return Response(_view(account), status, version=account["version"], headers=headers)


def _tokens(account: Doc, session: sessions.Session) -> Tokens:
    return Tokens(
        access_token=application.access_token(account),
        refresh_token=session.token,
        expires_in=int(settings().access_token),
    )
