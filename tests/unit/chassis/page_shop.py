"""A toy shop of pages, for the tests of `chassis.web.pages`."""

from typing import ClassVar

from chassis import deadline
from chassis.calls import ProblemResponse
from chassis.calls.tokens import ServiceTokens
from chassis.errors import DomainError, NotAttempted
from chassis.schema import QueryParams
from chassis.web.access import Access
from chassis.web.app import make_app
from chassis.web.auth import Verifier
from chassis.web.middleware import Middleware
from chassis.web.pages import (
    OPTIONAL,
    SIGNED_IN,
    Content,
    Form,
    FormErrors,
    Fragment,
    Page,
    Pages,
    Redirect,
    cookies,
)

TEMPLATES = {
    "base.html": '<link rel="stylesheet" href="{{ static_url(\'shop.css\') }}">{% block main %}{% endblock %}',
    "text.html": '{% extends "base.html" %}{% block main %}<p title="{{ text }}">{{ text }}</p>{% endblock %}',
    "undefined.html": "{{ nowhere }}",
    "problem.html": '{% extends "base.html" %}{% block main %}'
    "{{ problem.status }} {{ problem.title }}: {{ problem.detail }} {{ problem.trace_id }}{% endblock %}",
    "sitemap.xml": "<loc>{{ text }}</loc>",
}
CSS = "p { color: black }\n" * 40
STATIC = {"shop.css": CSS, "icons/x.svg": "<svg/>"}
SESSION = "__Host-session"


class SoldOut(DomainError):
    """There is none left."""


class Add(Form):
    repeatable: ClassVar = frozenset({"tag"})

    product_id: str
    quantity: int = 1
    tag: list[str] | str = ""


class Search(QueryParams):
    q: str = "nothing"
    page: int = 1


signed_out = ProblemResponse("orders", 401, {"type": "about:blank", "title": "Unauthorized"}, {})


class User:
    id = "ada"


def make_pages(folder, handled):
    """Return the pages, with templates and static files in this folder; what the forms send goes to `handled`."""
    for kind, files in {"templates": TEMPLATES, "static": STATIC}.items():
        for name, content in files.items():
            path = folder / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    pages = Pages(
        templates=folder / "templates",
        static=folder / "static",
        problem="problem.html",
        context=lambda: {"text": "shared"},
        identify=lambda: User if cookies.get(SESSION) in ("of-ada", "ended") else None,
        forget=lambda: cookies.delete(SESSION),
        sign_in="/shop/sign-in",
        csp={"img-src": "'self' https://pictures.example"},
    )
    for declare in (declare_catalog, declare_forms, declare_account, declare_others):
        declare(pages, handled)
    return pages


def app_of(pages) -> Middleware:
    return make_app("shop", [], {}, Access(Verifier(dict)), ServiceTokens("shop", "s" * 32), pages)


def declare_catalog(pages, handled):
    @pages.get("/shop/search", query=Search, cache_s=30)
    def search(query: Search, is_fragment: bool) -> Page:
        text = f"{query.q} {query.page}"
        if is_fragment:
            return Fragment("text.html", block="main", text=text)
        return Page("text.html", text=text, headers={"Vary": "Accept-Language"})

    @pages.get("/shop/products/{id}", errors=(SoldOut,))
    def product(id: str) -> Page:
        raising = {"sold-out": SoldOut(), "away": NotAttempted("products is away", 7), "defect": KeyError("secret")}
        if id in raising:
            raise raising[id]
        return Page("undefined.html" if id == "undefined" else "text.html")


def declare_forms(pages, handled):
    @pages.post("/shop/cart", form=Add, invalid=lambda form_data, errors: Page("text.html", text=[form_data, errors]))
    def add(form: Add) -> Redirect:
        handled.append(form)
        if form.quantity > 99:
            raise FormErrors({"quantity": "at most 99"})
        cookies.set(SESSION, "new", max_age_s=60)
        return Redirect("/shop/cart?added=1#lines")

    @pages.post("/shop/strict", form=Add)
    def strict(form: Add) -> Redirect:
        handled.append(form)
        return Redirect("/shop/cart")

    @pages.post("/shop/go", query=Search)
    def go(query: Search) -> Redirect:
        handled.append(query)
        return Redirect(query.q)


def declare_account(pages, handled):
    @pages.get("/shop/account", auth=SIGNED_IN)
    def account(user: User) -> Page:
        return Page("text.html", text=user.id)

    @pages.post("/shop/account", auth=SIGNED_IN)
    def change(user: User) -> Redirect:
        handled.append(user)
        return Redirect("/shop/account")

    @pages.get("/shop/greeting", auth=OPTIONAL)
    def greeting(user: User | None) -> Page:
        return Page("text.html", text=user.id if user else "nobody", csp={"frame-src": "https://pay.example"})

    @pages.get("/shop/orders", auth=SIGNED_IN)
    def orders() -> Page:
        raise signed_out

    @pages.get("/shop/basket", auth=OPTIONAL)
    def basket(user: User | None) -> Page:
        if user and cookies.get(SESSION) == "ended":
            raise signed_out
        return Page("text.html", text=user.id if user else "a guest")


def declare_others(pages, handled):
    @pages.get("/shop/leak", cache_s=30)
    def leak() -> Page:
        return Page("text.html", text=cookies.get(SESSION))

    @pages.get("/shop/time")
    def time() -> Page:
        return Page("text.html", text=round(deadline.remaining(60), 1))

    @pages.get("/sitemap.xml")
    def sitemap() -> Page:
        return Page("sitemap.xml", text="a&b")

    @pages.get("/openapi.json")
    def openapi() -> Content:
        return Content(b"{}", "application/json")

    pages.file("/icon.svg", "icons/x.svg")
