"""An administrator of a running shop, over its public routes: commands work on its machine and on any other."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
import orjson
import requests

from chassis import clock
from chassis.web.problem_document import problem_type
from mercato.local.running_platform import find_run
from mercato.settings import settings

_TIMEOUT_S = (5.0, 30.0)  # to connect, to get the response; the shop itself stops after its DEADLINE
_MAX_TRIES = 6
_MAX_WAIT_S = 60.0
_SHOWN_WAIT_S = 2.0
_CODE_REQUIRED = problem_type("second_factor_required")


class File(NamedTuple):
    """A body that is not JSON."""

    data: bytes
    media_type: str


class ShopError(click.ClickException):
    """The shop rejects a request, or does not answer; the message is one line."""


@contextmanager
def administrator(url: str | None) -> Iterator["Administrator"]:
    """Yield an administrator of the shop with this URL, or of the one that runs in DATA_DIR.

    Uses the access token in ADMIN_TOKEN. Without it, signs in, and signs out at the end: with ADMIN_EMAIL and
    ADMIN_PASSWORD, or at a shop in DATA_DIR with the account that is known there. Raises ShopError.
    """
    if url is None:
        shop, known = _local_shop()
    else:
        shop, known = _checked(url), {}
    signed_in = Administrator(shop, uses_proxy=url is not None)
    if token := settings().admin_token.get_secret_value():
        signed_in.use(token)
    else:
        email, password = settings().admin_email, settings().admin_password.get_secret_value()
        if not password and known:
            email, password = known["email"], known["password"]
        signed_in.sign_in(email, password or _ask(f"Password of {email}", "set ADMIN_PASSWORD (and ADMIN_EMAIL)"))
    try:
        yield signed_in
    finally:
        signed_in.sign_out()


def _checked(url: str) -> str:
    """Return the URL without a slash at its end. Raises ShopError if it cannot be that of a shop."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or parts.username is not None or parts.query or parts.fragment:
        raise ShopError("--url is an address such as https://shop.example, without account and query")
    return url.rstrip("/")


def _local_shop() -> tuple[str, dict[str, str]]:
    """Return the URL of the shop that runs in DATA_DIR, and its account {email, password} if it is known."""
    from mercato.local.folder import Folder

    folder = settings().data_dir
    run = find_run(folder)
    if run is None:
        raise SystemExit(
            f"mercato: nothing runs in {folder}: start it with `mercato up`, set DATA_DIR, or name a shop with --url"
        )
    return run["url"], Folder(folder).read("admin.json") or {}


class Administrator:
    """A session of one administrator. Retries while the shop is unavailable, so send only idempotent requests."""

    def __init__(self, url: str, uses_proxy: bool) -> None:
        self._url = url
        self._tokens: dict[str, Any] = {}
        self._session = requests.Session()
        self._session.trust_env = uses_proxy
        self._session.auth = self._authorize  # else a .netrc would replace the token

    def use(self, access_token: str) -> None:
        """Use this token; `sign_out` does not end its session."""
        self._tokens = {"accessToken": access_token}

    def sign_in(self, email: str, password: str) -> None:
        """Open a session; ask for the code of the second factor if the account has one. Raises ShopError."""
        account = {"email": email, "password": password}
        response = self._send("/api/auth/login", account)
        if response.status_code == 401 and _problem(response).get("type") == _CODE_REQUIRED:
            code = _ask(f"Code of the second factor of {email}", "set ADMIN_TOKEN, or run the command in a terminal")
            response = self._send("/api/auth/login", {**account, "code": code})
        if response.status_code == 401:
            raise ShopError(f"{self._url} does not accept the password of {email}: set ADMIN_EMAIL and ADMIN_PASSWORD")
        self._tokens = self._read(response)

    def post(self, path: str, body: Any) -> Any:
        """Send JSON or a File, and return the JSON of the response. Raises ShopError."""
        response = self._send(path, body)
        if response.status_code == 401:
            self._refresh()
            response = self._send(path, body)
        return self._read(response)

    def sign_out(self) -> None:
        """End the session, if the shop can be reached."""
        if "refreshToken" in self._tokens:
            try:
                self._post("/api/auth/logout", {"refreshToken": self._tokens["refreshToken"]})
            except requests.RequestException:
                pass  # the session ends by itself
        self._session.close()

    def _refresh(self) -> None:
        refresh_token = self._tokens.pop("refreshToken", "")
        response = self._send("/api/auth/refresh", {"refreshToken": refresh_token}) if refresh_token else None
        if response is None or response.status_code != 200:
            raise ShopError(f"the session at {self._url} has ended")
        self._tokens = self._read(response)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token := self._tokens.get("accessToken"):
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    def _send(self, path: str, body: Any) -> requests.Response:
        """Send a request until the shop answers. Raises ShopError."""
        for tries in range(1, _MAX_TRIES + 1):
            wait_s = 0.1 * 2**tries
            try:
                response = self._post(path, body)
            except (requests.ConnectionError, requests.Timeout) as error:
                why = f"{self._url} cannot be reached ({type(error).__name__})"
            except requests.RequestException as error:
                raise ShopError(f"{self._url} cannot be used: {error}") from None
            else:
                if response.status_code not in (429, 502, 503, 504):
                    return response
                why = f"{self._url}: {_problem(response).get('detail') or f'status {response.status_code}'}"
                wait_s = max(wait_s, _retry_after_s(response))
            if tries < _MAX_TRIES:
                if wait_s >= _SHOWN_WAIT_S:
                    click.echo(f"{why} Trying again in {wait_s:.0f} s.", err=True)
                clock.sleep(wait_s)
        raise ShopError(why)

    def _post(self, path: str, body: Any) -> requests.Response:
        file = body if isinstance(body, File) else File(orjson.dumps(body), "application/json")
        return self._session.post(
            self._url + path,
            data=file.data,
            headers={"Content-Type": file.media_type},
            timeout=_TIMEOUT_S,
            allow_redirects=False,
        )

    def _read(self, response: requests.Response) -> Any:
        if response.status_code in (200, 201):
            try:
                return response.json()
            except ValueError:
                raise ShopError(f"{self._url} is no shop of Mercato: its answer is not JSON") from None
        if response.status_code in (301, 302, 307, 308):
            raise ShopError(f"{self._url} redirects to {response.headers.get('Location')}: use that URL")
        if response.status_code == 404:
            raise ShopError(f"{self._url} does not have {response.request.path_url}: it runs an earlier version")
        problem = _problem(response)
        raise ShopError(f"{self._url}: {problem.get('detail') or f'status {response.status_code}'}")


def _problem(response: requests.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after_s(response: requests.Response) -> float:
    header = response.headers.get("Retry-After", "")
    return min(float(header), _MAX_WAIT_S) if header.isdigit() else 0.0


def _ask(what: str, otherwise: str) -> str:
    """Ask the person at the terminal. Raises ShopError if there is none."""
    if not sys.stdin.isatty():
        raise ShopError(f"{what} is needed: {otherwise}")
    answer: str = click.prompt(what, hide_input=True, err=True)
    return answer
