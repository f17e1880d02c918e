"""The templates of pages: Jinja2 that escapes every value and fails at an undefined one."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".xml": "application/xml; charset=utf-8",
}


class Templates:
    """The templates of a folder. `context()` returns values that every template sees."""

    def __init__(
        self,
        folder: Path,
        context: Callable[[], Mapping[str, Any]],
        helpers: Mapping[str, Callable[..., Any]],
        filters: Mapping[str, Callable[..., Any]],
        tests: Mapping[str, Callable[..., Any]],
    ) -> None:
        self._context = context
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=_is_markup,  # noqa: S701  escapes all but plain text
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            cache_size=-1,
        )
        self._environment.globals |= helpers
        self._environment.filters |= filters
        self._environment.tests |= tests

    def compile(self) -> None:
        """Compile every template, so that a malformed one ends the start and no request pays for it."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def render(self, name: str, values: Mapping[str, Any], block: str = "") -> str:
        """Render a template, or one of its blocks alone. Raises UndefinedError, TemplateNotFound, KeyError (block)."""
        template = self._environment.get_template(name)
        known = {**self._context(), **values}
        if not block:
            return template.render(known)
        return "".join(template.blocks[block](template.new_context(known)))


def media_type(name: str) -> str:
    """Return the media type of what a template renders."""
    return _MEDIA_TYPES[PurePosixPath(name).suffix]


def _is_markup(name: str | None) -> bool:
    return name is None or not name.endswith(".txt")
