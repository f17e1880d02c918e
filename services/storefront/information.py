"""What a shop must say about itself, and the paths that programs ask for."""

from chassis.errors import NotFound
from chassis.web.pages import Page, Redirect
from services.storefront.settings import settings
from services.storefront.site import BY_LANGUAGE, pages, translate

CACHE_S = 3600


@pages.get("/shop/imprint", cache_s=CACHE_S)
def imprint() -> Page:
    return _text(translate("Imprint"), settings().imprint)


@pages.get("/shop/terms", cache_s=CACHE_S)
def terms() -> Page:
    return _text(translate("Terms"), settings().terms)


@pages.get("/shop/privacy", cache_s=CACHE_S)
def privacy() -> Page:
    return _text(translate("Privacy"), settings().privacy)


@pages.get("/robots.txt", cache_s=CACHE_S)
def robots() -> Page:
    return Page("robots.txt", base=settings().public_url.rstrip("/"))


@pages.get("/.well-known/change-password")
def change_password() -> Redirect:
    return Redirect("/shop/account")


@pages.get("/.well-known/security.txt", cache_s=CACHE_S)
def security() -> Page:
    if not settings().security_contact:
        raise NotFound("page")
    return Page("security.txt", contact=settings().security_contact)


pages.file("/favicon.ico", "icon.svg")


def _text(title: str, text: str) -> Page:
    paragraphs = [line.strip() for line in text.splitlines() if line.strip()]
    return Page("text.html", title=title, paragraphs=paragraphs, headers=BY_LANGUAGE)
