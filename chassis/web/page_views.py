"""Pages over HTTP: the checks before a handler, and what becomes of its answer or its error."""

import inspect
from hashlib import blake2b
from string import punctuation
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Flask, Request, request

from chassis import deadline
from chassis.calls.outcomes import ProblemResponse
from chassis.calls.public_routes import acting_for
from chassis.errors import DomainError, NotFound
from chassis.observe import metrics
from chassis.observe.log import log
from chassis.schema import ID
from chassis.settings import settings
from chassis.web import conditions, cookies, cross_site, forms, html_problems, limits, page_security, templates
from chassis.web.api import ANYONE, OPTIONAL, SIGNED_IN, Content, add_response_headers
from chassis.web.auth import Caller
from chassis.web.client_address import client_address
from chassis.web.forms import FormErrors
from chassis.web.limits import RateLimited
from chassis.web.middleware import CALLER, ROUTE
from chassis.web.pages import Answer, Page, Pages, Redirect, Route, User
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

FRAGMENT = "HX-Request"
"""Header by which htmx asks for a part of a page."""
GET_DEADLINE_S = 0.8
"""Longest time that a page may take; a form may take the time of any request."""
FILE_CACHE_S = 3600
_DIGEST_BYTES = 12


class PageViews:
    """The views of the pages of a service."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        pages.templates.compile()

    def add_to(self, app: Flask, declared: dict[str, tuple[type[DomainError], ...]]) -> None:
        """Add the routes to an app, and what each may raise to `declared`."""
        for route in self._pages.routes:
            endpoint = f"{route.method} {route.path}"
            declared[endpoint] = route.all_errors
            view = _View(self, self._pages, route)
            app.add_url_rule(route.rule, endpoint, view, methods=[route.method], provide_automatic_options=False)
        for path in self._pages.files:
            app.add_url_rule(path, path, self._file, methods=["GET"], provide_automatic_options=False)
        static = f"{self._pages.static.path}/<path:name>"
        app.add_url_rule(static, static, self._static, methods=["GET"], provide_automatic_options=False)

    def render(self, page: Page) -> WsgiResponse:
        """Return a page as a response, without the cookies that its request has set."""
        body = self._pages.templates.render(page.template, page.values, page.block).encode()
        headers = {**page_security.headers(self._pages.csp, page.csp), **page.headers}
        media_type = templates.media_type(page.template)
        return WsgiResponse([body], page.status, headers, content_type=media_type)

    def show_problem(self, problem: WsgiResponse, path: str) -> WsgiResponse:
        """Return a problem document as a page, with its status, its headers and its trace id, if one is wanted."""
        if not html_problems.is_wanted(path):
            return problem
        document = html_problems.read(problem)
        try:
            page = Page(
                self._pages.problem, status=document.status, problem=document, is_fragment=FRAGMENT in request.headers
            )
            response = self.render(page)
        except Exception as error:  # the template may need a service that is away
            log.error("template of problems failed; a plain page is sent", error=error)
            response = html_problems.plain(document)
        html_problems.keep_headers(problem, response)
        cookies.add_to(response)
        return response

    def _static(self, name: str) -> WsgiResponse:
        static = self._pages.static
        request.environ[ROUTE] = f"{static.path}/{{file}}"
        return static.respond(f"{static.path}/{name}", request.environ)

    def _file(self) -> WsgiResponse:
        static, path = self._pages.static, request.path
        request.environ[ROUTE] = path
        response = static.respond(static.url(self._pages.files[path]), request.environ)
        response.headers["Cache-Control"] = f"public, max-age={FILE_CACHE_S}"
        return response


class _View:
    """The view of one page."""

    def __init__(self, views: PageViews, pages: Pages, route: Route) -> None:
        self._views, self._pages, self._route = views, pages, route
        self._arguments = frozenset(inspect.signature(route.handler).parameters)
        again = route.invalid
        self._again_arguments = frozenset(inspect.signature(again).parameters) if again else frozenset()

    def __call__(self, **parts: str) -> WsgiResponse:
        route = self._route
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
        current.environ[ROUTE], current.environ[cookies.PUBLIC] = route.path, bool(route.cache_s)
        if route.method == "POST":
            cross_site.refuse_cross_site(current)
        address = client_address(current)
        limit_s = GET_DEADLINE_S if route.method == "GET" else settings().deadline
        with deadline.within(limit_s), acting_for(address):
            user = None if route.auth == ANYONE else self._pages.identify()
            self._count(current, user, address)
            if user is None and route.auth == SIGNED_IN:
                return self._to_response(current, self._sign_in_first(current))
            try:
                answer = self._answer(current, user, parts)
            except ProblemResponse as refused:
                if user is None or refused.status != 401:
                    raise
                self._pages.forget()
                is_open = route.auth == OPTIONAL
                answer = self._answer(current, None, parts) if is_open else self._sign_in_first(current)
            return self._to_response(current, answer)

    def _count(self, current: Request, user: User | None, address: str) -> None:
        """Count the request against the limit of its user or address. Raises RateLimited."""
        caller = Caller(user.id if user else "", "", address)
        current.environ[CALLER] = caller.id
        try:
            add_response_headers(current, limits.hit_for_request(self._route.method, caller))
        except RateLimited:
            metrics.rate_limited[self._route.path].inc()
            raise

    def _answer(self, current: Request, user: User | None, parts: dict[str, str]) -> Answer:
        route = self._route
        if any(not ID.fullmatch(part) for part in parts.values()):
            raise NotFound("page")
        values: dict[str, Any] = {**parts, "user": user, "is_fragment": FRAGMENT in current.headers}
        if route.query:
            values["query"] = forms.read_query(route.query, current)
        fields = forms.read_fields(current) if route.form else {}
        try:
            if route.form:
                values["form"] = forms.read_form(route.form, fields)
            return route.handler(**_chosen(values, self._arguments))
        except FormErrors as invalid:
            if route.invalid is None:
                raise
            values |= {"form_data": forms.as_typed(fields), "errors": invalid.reasons}
            page = route.invalid(**_chosen(values, self._again_arguments))
            page.status = 422
            return page

    def _sign_in_first(self, current: Request) -> Redirect:
        """Return the way to the sign-in page; from a form, it leads back to the page of the form."""
        came_from = current.full_path.rstrip("?") if self._route.method == "GET" else _referer_path(current)
        path = f"{self._pages.sign_in}?next={quote(came_from, safe='')}" if came_from else self._pages.sign_in
        if FRAGMENT in current.headers:  # a redirect would put the sign-in page into a part of this one
            raise Problem(401, "Sign in to go on.", headers={"HX-Redirect": path})
        return Redirect(path)

    def _to_response(self, current: Request, answer: Answer) -> WsgiResponse:
        if isinstance(answer, Redirect):
            location = quote(answer.path, safe=punctuation, errors="replace")
            response = WsgiResponse(status=303, headers={"Location": location, **answer.headers})
        elif isinstance(answer, Content):
            headers = page_security.headers(self._pages.csp)
            response = WsgiResponse([answer.data], 200, headers, content_type=answer.media_type)
        else:
            response = self._views.render(answer)
        if self._route.cache_s and response.status_code == 200:
            response = self._public(current, response)
        cookies.add_to(response)
        return response

    def _public(self, current: Request, response: WsgiResponse) -> WsgiResponse:
        """Return the response for any cache, or a 304."""
        tag = f'"{blake2b(response.get_data(), digest_size=_DIGEST_BYTES).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": f"public, max-age={self._route.cache_s}"}
        fragment = FRAGMENT if "is_fragment" in self._arguments else ""
        if vary := ", ".join(filter(None, (response.headers.get("Vary"), fragment))):
            headers["Vary"] = vary
        if conditions.is_unchanged(current.headers.get("If-None-Match", ""), tag):
            return WsgiResponse(status=304, headers=headers)
        response.headers.update(headers)
        return response


def _chosen(values: dict[str, Any], arguments: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in arguments}


def _referer_path(current: Request) -> str:
    """Return path and query of the page of this site that the request comes from, "" for none."""
    try:
        referer = urlsplit(current.headers.get("Referer", ""))
    except ValueError:
        return ""
    if referer.netloc.lower() != current.headers.get("Host", "").lower():
        return ""
    return referer.path + (f"?{referer.query}" if referer.query else "")
