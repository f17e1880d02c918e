"""Pages: routes that answer with HTML, declared beside their handler and checked as those of `Api` are.

    pages = Pages(templates=HERE / "templates", static=HERE / "static", problem="problem.html")

    @pages.get("/shop/products/{id}", cache_s=30)
    def product(id: str) -> Page:
        return Page("product.html", product=find(id))

    @pages.post("/shop/cart/items", form=AddToCart, invalid=product_again)
    def add(form: AddToCart) -> Redirect:
        return Redirect("/shop/cart")

The checks run in this order: size, origin (`cross_site`), user, rate, schema, logic. The name of an argument selects
what it gets: `query`, `form`, `user`, `is_fragment` (whether a script asks for a part of the page), or a part of the
path. An error is shown by the template `problem`, with its trace id.

No cache keeps a page, unless its route declares `cache_s`; such a page is the same for everybody, has an ETag, and
cannot see cookies.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

from chassis.errors import DomainError, InvalidInput, NotFound
from chassis.schema import QueryParams
from chassis.web import cookies, page_security
from chassis.web.api import ANYONE, OPTIONAL, SIGNED_IN, Content
from chassis.web.forms import Form, FormErrors
from chassis.web.problems import Problem
from chassis.web.static_files import StaticFiles
from chassis.web.templates import Templates

__all__ = [
    "ANYONE",
    "OPTIONAL",
    "SIGNED_IN",
    "Content",
    "Form",
    "FormErrors",
    "Fragment",
    "Page",
    "Pages",
    "Redirect",
    "User",
    "cookies",
    "local_path",
]

Handler = Callable[..., "Answer"]
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")


class User(Protocol):
    """Who uses a page, as `identify` of `Pages` returns it; limits count by its id."""

    @property
    def id(self) -> str: ...


class Page:
    """A rendered template. `csp` replaces directives of the Content-Security-Policy."""

    def __init__(
        self,
        template: str,
        /,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        csp: page_security.Csp | None = None,
        **values: Any,
    ) -> None:
        self.template, self.status, self.values = template, status, values
        self.headers, self.csp, self.block = headers or {}, csp or {}, ""


class Fragment(Page):
    """One block of a template, rendered without the page around it; what the block uses is imported inside it."""

    def __init__(self, template: str, /, *, block: str, **values: Any) -> None:
        super().__init__(template, **values)
        self.block = block


@dataclass(frozen=True)
class Redirect:
    """A 303 to a path of this site: the browser gets it. Raises Problem 400 for any other target."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _LOCAL.fullmatch(self.path):
            raise Problem(400, "This address does not belong to the shop.")


Answer = Page | Redirect | Content


def local_path(path: str, default: str) -> str:
    """Return a path that a client sent, such as that of `next=`, if it stays on this site; else the default."""
    return path if _LOCAL.fullmatch(path) else default


class RouteOptions(TypedDict, total=False):
    """What a page declares."""

    auth: str
    """ANYONE (the default), OPTIONAL (the page sees its user, if there is one) or SIGNED_IN."""
    query: type[QueryParams]
    """The parameters that it reads; others are left out."""
    errors: tuple[type[DomainError], ...]
    """The domain errors, but for those that the form of the route implies."""


class GetOptions(RouteOptions, total=False):
    cache_s: int
    """Seconds for which any cache may give the page to anyone; 0, the default, for none."""


class PostOptions(RouteOptions, total=False):
    form: type[Form]
    invalid: Callable[..., Page]
    """Returns the page again for a form that is not valid, or for which the handler raises FormErrors.

    Its arguments are those of the handler, with `form_data` (texts by field) and `errors` (reasons by field) in place
    of `form`.
    """


@dataclass(frozen=True)
class Route:
    """One declared page."""

    method: str
    path: str
    handler: Handler
    auth: str = ANYONE
    query: type[QueryParams] | None = None
    form: type[Form] | None = None
    invalid: Callable[..., Page] | None = None
    errors: tuple[type[DomainError], ...] = ()
    cache_s: int = 0

    def __post_init__(self) -> None:
        if self.cache_s and self.auth != ANYONE:
            raise ValueError(f"{self.path}: a page with cache_s is the same for everybody, and so is for ANYONE")

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return re.sub(r"{(\w+)}", r"<\1>", self.path)

    @property
    def all_errors(self) -> tuple[type[DomainError], ...]:
        """Every domain error that the page may show."""
        return (*self.errors, InvalidInput, *((NotFound,) if "{" in self.path else ()))


class Pages:
    """The pages of one service: folders of its templates and of its static files, and the template of its problems.

    `identify` returns the user of a request, or None; a page for users sends anybody else to the path `sign_in`, with
    the page itself as `next`. `forget` forgets a user whose token another service refuses with 401, as after the
    session was ended elsewhere; the page is then for somebody who has not signed in. `context` returns values for every
    template. `csp` replaces directives of the Content-Security-Policy of every page. Static files are served below
    `static_path`.
    """

    def __init__(
        self,
        templates: Path,
        static: Path,
        problem: str,
        context: Callable[[], Mapping[str, Any]] = dict,
        identify: Callable[[], User | None] = lambda: None,
        forget: Callable[[], None] = lambda: None,
        sign_in: str = "",
        filters: Mapping[str, Callable[..., Any]] | None = None,
        tests: Mapping[str, Callable[..., Any]] | None = None,
        csp: page_security.Csp | None = None,
        static_path: str = "/static",
    ) -> None:
        self.static = StaticFiles(static, static_path)
        self.templates = Templates(templates, context, {"static_url": self.static.url}, filters or {}, tests or {})
        self.routes: list[Route] = []
        self.files: dict[str, str] = {}
        self.problem, self.identify, self.forget, self.sign_in = problem, identify, forget, sign_in
        self.csp = csp or {}

    def get(self, path: str, **options: Unpack[GetOptions]) -> Callable[[Handler], Handler]:
        def declare(handler: Handler) -> Handler:
            self.routes.append(Route("GET", path, handler, **options))
            return handler

        return declare

    def post(self, path: str, **options: Unpack[PostOptions]) -> Callable[[Handler], Handler]:
        def declare(handler: Handler) -> Handler:
            self.routes.append(Route("POST", path, handler, **options))
            return handler

        return declare

    def file(self, path: str, name: str) -> None:
        """Serve a static file at a path of its own, such as /robots.txt. Raises UnknownStaticFile."""
        self.static.url(name)
        self.files[path] = name
