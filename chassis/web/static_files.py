"""Static files: each under a name with the digest of its content, compressed once, and kept by browsers for a year.

    StaticFiles(folder, "/static").url("shop.css")       /static/shop.1f0c9a66b0e5.css

They are served from memory by the rules of WhiteNoise (media type, encoding, conditional requests): nothing is written.
During an upgrade, a page of one release may name a file of another: a digest that is unknown here gets the file as it
is here, without a promise that it stays.
"""

import gzip
import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from whitenoise.media_types import MediaTypes
from whitenoise.responders import StaticFile

from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

IMMUTABLE, CURRENT = "public, max-age=31536000, immutable", "no-cache"
_DIGEST_BYTES = 6
_HASHED = re.compile(r"(.+)\.[0-9a-f]{12}(\.[A-Za-z0-9]+)?")
_MIN_SAVED = 0.9
"""Share of its size that a compressed file has at most, or it is sent as it is."""


class UnknownStaticFile(Exception):
    """A template or a route names a static file that does not exist."""


class StaticFiles:
    """The files of a folder and those below it, served below `path`."""

    def __init__(self, folder: Path, path: str) -> None:
        self.path = path
        contents = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file() and not file.name.startswith(".")
        }
        self._urls = {name: f"{path}/{_hashed(name, content)}" for name, content in contents.items()}
        self._hashed = {self._urls[name]: _file(name, content, IMMUTABLE) for name, content in contents.items()}
        self._current = {name: _file(name, content, CURRENT) for name, content in contents.items()}

    def url(self, name: str) -> str:
        """Return the path of a file, which changes with its content. Raises UnknownStaticFile."""
        if name not in self._urls:
            raise UnknownStaticFile(f"there is no static file {name}; there are {', '.join(self._urls) or 'none'}")
        return self._urls[name]

    def respond(self, path: str, environ: Mapping[str, Any]) -> WsgiResponse:
        """Return the response for the path of a file, as `url` gives it, or with another digest or none.

        Raises Problem 404.
        """
        file = self._hashed.get(path)
        if file is None:
            name = path.removeprefix(f"{self.path}/")
            hashed = _HASHED.fullmatch(name)
            file = self._current.get(name) or (self._current.get(hashed[1] + (hashed[2] or "")) if hashed else None)
        if file is None:
            raise Problem(404, "There is nothing under this path.")
        if file.is_not_modified(environ):
            return WsgiResponse(status=304, headers=file.not_modified_response.headers)
        content, headers = file.get_path_and_headers(environ)
        return WsgiResponse([content], 200, headers)


class _Content(NamedTuple):
    """A file in memory, in the form that WhiteNoise describes one on disk."""

    path: bytes
    size: int
    mtime: float = 0.0


class _MemoryFile(StaticFile):  # type: ignore[misc]  # whitenoise has no types
    """WhiteNoise's file, with contents in the place of paths."""

    @staticmethod
    def get_file_stats(path: bytes, encodings: dict[str, bytes], stat_cache: None) -> dict[str | None, _Content]:
        return {None: _Content(path, len(path))} | {
            name: _Content(content, len(content)) for name, content in encodings.items()
        }


_media_types = MediaTypes()


def _file(name: str, content: bytes, cache_control: str) -> Any:
    media_type = _media_types.get_type(name)
    headers = {
        "Content-Type": f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type,
        "Cache-Control": cache_control,
        "ETag": f'"{_digest(content)}"',
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    compressed = gzip.compress(content, mtime=0)
    encodings = {"gzip": compressed} if len(compressed) < _MIN_SAVED * len(content) else {}
    return _MemoryFile(content, list(headers.items()), encodings)


def _hashed(name: str, content: bytes) -> str:
    suffix = PurePosixPath(name).suffix
    return f"{name.removesuffix(suffix)}.{_digest(content)}{suffix}"


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()
