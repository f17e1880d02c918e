"""Sign-in, sign-up, verification, reset, and the account of a user."""

from typing import Annotated, Any

import orjson
from pydantic import StringConstraints

from chassis.calls import Part, ProblemResponse, in_parallel
from chassis.schema import Id
from chassis.web.pages import OPTIONAL, SIGNED_IN, Content, Form, FormErrors, Page, Redirect, local_path
from services.storefront import session, texts
from services.storefront.session import Session, users
from services.storefront.site import NOT_CACHED, pages, translate

HOME = "/"
_INPUT = (400, 403, 409, 410, 422)
Line = Annotated[str, StringConstraints(max_length=254)]
Secret = Annotated[str, StringConstraints(max_length=200)]
Target = Annotated[str, StringConstraints(max_length=500)]


class Next(Form):
    """Where to go on afterwards."""

    next: Target = ""


class SignIn(Next):
    email: Line
    password: Secret
    code: Annotated[str, StringConstraints(max_length=40)] = ""


class SignUp(Next):
    name: Line
    email: Line
    password: Secret


class Address(Form):
    email: Line


class Link(Form):
    """The secret part of a link in a mail."""

    token: Secret


class NewPassword(Link):
    password: Secret


class Profile(Form):
    name: Line
    language: Annotated[str, StringConstraints(max_length=10)]
    marketing: Annotated[str, StringConstraints(max_length=5)] = ""


class PasswordChange(Form):
    current_password: Secret
    password: Secret


class Deletion(Form):
    current_password: Secret


class EndedSession(Form):
    id: Id


def _form(template: str, title: str, **values: Any) -> Page:
    known = {"form_data": {}, "errors": {}, "notice": "", "next": "", "headers": NOT_CACHED}
    return Page(template, title=title, **(known | values))


def _sign_in_again(form_data: dict[str, str], errors: dict[str, str]) -> Page:
    return _form(
        "account/sign-in.html",
        translate("Sign in"),
        form_data=form_data,
        errors=errors,
        next=form_data.get("next", ""),
        ask_code="code" in errors or bool(form_data.get("code")),
    )


def _sign_up_again(form_data: dict[str, str], errors: dict[str, str]) -> Page:
    next = form_data.get("next", "")
    return _form("account/sign-up.html", translate("Create account"), form_data=form_data, errors=errors, next=next)


def _refused(problem: ProblemResponse, field: str = "", statuses: tuple[int, ...] = _INPUT) -> FormErrors:
    """Return what `users` refused as errors of the form; anything but the input is raised as it is."""
    if problem.status not in statuses:
        raise problem
    reasons = {each["field"]: each["reason"] for each in problem.body.get("errors", ()) if each.get("field")}
    return FormErrors(reasons or {field: problem.detail or problem.title})


@pages.get("/shop/sign-in", query=Next, auth=OPTIONAL)
def sign_in_page(query: Next, user: Session | None) -> Page | Redirect:
    if user:
        return Redirect(local_path(query.next, HOME))
    return _form("account/sign-in.html", translate("Sign in"), next=query.next, ask_code=False)


@pages.post("/shop/sign-in", form=SignIn, invalid=_sign_in_again)
def sign_in(form: SignIn) -> Redirect:
    """Sign in, and go on where the user came from. The cart of the guest is merged by the next page that reads it."""
    _sign_in(form.email, form.password, form.code)
    return Redirect(local_path(form.next, HOME))


def _sign_in(email: str, password: str, code: str = "") -> None:
    body = {"email": email, "password": password, **({"code": code} if code else {})}
    try:
        tokens = users.post("/api/auth/login", json=body).body
    except ProblemResponse as problem:
        field = "code" if problem.kind == "second_factor_required" else ""
        raise _refused(problem, field, (*_INPUT, 401)) from problem
    session.sign_in(tokens)


@pages.get("/shop/sign-up", query=Next, auth=OPTIONAL)
def sign_up_page(query: Next, user: Session | None) -> Page | Redirect:
    if user:
        return Redirect(local_path(query.next, HOME))
    return _form("account/sign-up.html", translate("Create account"), next=query.next)


@pages.post("/shop/sign-up", form=SignUp, invalid=_sign_up_again)
def sign_up(form: SignUp) -> Redirect:
    """Create an account and sign in; where addresses must be verified first, say so."""
    body = {"email": form.email, "name": form.name, "password": form.password}
    try:
        users.post("/api/users", json=body, headers=_language())
    except ProblemResponse as problem:
        raise _refused(problem, "email" if problem.status == 409 else "") from problem
    try:
        _sign_in(form.email, form.password)
    except FormErrors:
        return Redirect("/shop/verify")
    return Redirect(local_path(form.next, HOME))


@pages.post("/shop/sign-out")
def sign_out() -> Redirect:
    session.sign_out()
    return Redirect(HOME, {"Clear-Site-Data": '"cache"'})


@pages.get("/shop/verify")
def verify_page() -> Page:
    """Ask to confirm the address; a script fills in the secret of the link, which is behind its #."""
    return _form("account/verify.html", translate("Confirm your e-mail address"))


@pages.post(
    "/shop/verify",
    form=Link,
    invalid=lambda form_data, errors: _form(
        "account/verify.html", translate("Confirm your e-mail address"), form_data=form_data, errors=errors
    ),
)
def verify(form: Link) -> Page:
    try:
        users.post("/api/auth/verifications/confirm", json={"token": _secret(form.token)})
    except ProblemResponse as problem:
        raise _refused(problem, "token") from problem
    return _form("account/done.html", translate("Your address is confirmed"), notice=translate("You can sign in now."))


@pages.post("/shop/verify/again", form=Address)
def verify_again(form: Address) -> Page:
    users.post("/api/auth/verifications", json={"email": form.email}, headers=_language())
    return _mail_sent()


@pages.get("/shop/reset")
def reset_page() -> Page:
    """Ask for a new password; without a link, ask where to send one."""
    return _form("account/reset.html", translate("New password"))


@pages.post("/shop/reset/mail", form=Address)
def send_reset(form: Address) -> Page:
    users.post("/api/auth/resets", json={"email": form.email}, headers=_language())
    return _mail_sent()


@pages.post(
    "/shop/reset",
    form=NewPassword,
    invalid=lambda form_data, errors: _form(
        "account/reset.html", translate("New password"), form_data=form_data, errors=errors
    ),
)
def reset(form: NewPassword) -> Page:
    body = {"token": _secret(form.token), "password": form.password}
    try:
        users.post("/api/auth/resets/confirm", json=body)
    except ProblemResponse as problem:
        raise _refused(problem, "token") from problem
    return _form("account/done.html", translate("Your password is changed"), notice=translate("You can sign in now."))


@pages.get("/shop/account", auth=SIGNED_IN)
def account_page(user: Session) -> Page:
    return _account(user)


def _account(user: Session, notice: str = "", errors: dict[str, str] | None = None) -> Page:
    token = user.access_token
    me: Part[dict[str, Any]]
    sessions: Part[list[dict[str, Any]]]
    me, sessions = in_parallel(
        lambda: users.get("/api/users/me", token=token).body,
        lambda: users.get("/api/users/me/sessions", token=token).body["items"],
    )
    return _form(
        "account/account.html",
        translate("Your account"),
        me=me.value,
        sessions=sessions.or_else([]),
        notice=notice,
        errors=errors or {},
    )


def _account_again(user: Session, errors: dict[str, str]) -> Page:
    return _account(user, errors=errors)


@pages.post("/shop/account/profile", form=Profile, auth=SIGNED_IN, invalid=_account_again)
def change_profile(user: Session, form: Profile) -> Redirect:
    body = {"name": form.name, "language": form.language, "marketing": bool(form.marketing)}
    _change(user, body)
    return Redirect("/shop/account")


@pages.post("/shop/account/password", form=PasswordChange, auth=SIGNED_IN, invalid=_account_again)
def change_password(user: Session, form: PasswordChange) -> Redirect:
    """Change the password, which ends every session, and sign in with the new one."""
    email = users.get("/api/users/me", token=user.access_token).body["email"]
    _change(user, {"password": form.password, "currentPassword": form.current_password})
    try:
        _sign_in(email, form.password)
    except FormErrors:  # a second factor is asked for again
        session.sign_out()
        return Redirect("/shop/sign-in")
    return Redirect("/shop/account")


def _change(user: Session, body: dict[str, Any]) -> None:
    try:
        users.put("/api/users/{id}", id=user.user_id, token=user.access_token, json=body)
    except ProblemResponse as problem:
        raise _refused(problem, "currentPassword" if problem.status == 403 else "") from problem


@pages.post("/shop/account/sessions", form=EndedSession, auth=SIGNED_IN)
def end_session(user: Session, form: EndedSession) -> Redirect:
    users.delete("/api/users/me/sessions/{id}", id=form.id, token=user.access_token, accept=(404,))
    return Redirect("/shop/account")


@pages.get("/shop/account/export", auth=SIGNED_IN)
def export(user: Session) -> Content:
    """Return everything that is stored about the user."""
    data = users.get("/api/users/me/export", token=user.access_token).body
    return Content(orjson.dumps(data, option=orjson.OPT_INDENT_2), "application/json")


@pages.post("/shop/account/delete", form=Deletion, auth=SIGNED_IN, invalid=_account_again)
def delete_account(user: Session, form: Deletion) -> Page:
    body = {"currentPassword": form.current_password}
    try:
        users.delete("/api/users/{id}", id=user.user_id, token=user.access_token, json=body)
    except ProblemResponse as problem:
        raise _refused(problem, "deletePassword" if problem.status == 403 else "") from problem
    session.sign_out()
    return _form(
        "account/done.html", translate("Your account is deleted"), notice=translate("Thank you for your visit.")
    )


def _mail_sent() -> Page:
    notice = translate("If there is an account with this address, a mail is on its way.")
    return _form("account/done.html", translate("Look into your mail"), notice=notice)


def _secret(text: str) -> str:
    """Return the secret of a link, of which the whole may have been pasted."""
    return text.strip().rpartition("#")[2]


def _language() -> dict[str, str]:
    return {"Accept-Language": texts.language()}
