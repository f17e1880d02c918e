"""What all pages of the shop share: templates, static files, session and language."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chassis.web.pages import Pages
from services.storefront import session, texts
from services.storefront.settings import settings

HERE = Path(__file__).parent
NOT_CACHED: Mapping[str, str] = {"Cache-Control": "no-store"}
BY_LANGUAGE: Mapping[str, str] = {"Vary": "Accept-Language"}


def _context() -> dict[str, Any]:
    language = texts.language()
    return {"language": language, "_": texts.translator(language), "shop_name": settings().shop_name}


pages = Pages(
    templates=HERE / "templates",
    static=HERE / "static",
    problem="problem.html",
    context=_context,
    identify=session.signed_in,
    forget=session.forget_user,
    sign_in="/shop/sign-in",
    filters={"money": texts.money, "moment": texts.moment},
)


def translate(text: str, **values: Any) -> str:
    """Translate a text into the language of the browser."""
    return texts.translator(texts.language())(text, **values)
