"""A person at the shop: a small client of the public API."""

from typing import Any, NamedTuple

import requests

from chassis import clock


class Reply(NamedTuple):
    """The response to a request, and the seconds it took."""

    status: int
    body: Any
    took_s: float


class Person:
    """A guest until signed in; then every request carries the access token."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def sign_in(self, email: str, password: str) -> Reply:
        reply = self.post("/api/auth/login", {"email": email, "password": password})
        if reply.status == 200:
            self._session.headers["Authorization"] = f"Bearer {reply.body['accessToken']}"
        return reply

    def take_cart(self) -> Reply:
        """Get the cart of a guest; from then on, every request carries its token."""
        reply = self.post("/api/carts")
        if reply.status == 201:
            self._session.headers["Cart-Token"] = reply.body["token"]
        return reply

    def get(self, path: str) -> Reply:
        return self._request("GET", path)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Reply:
        return self._request("POST", path, body)

    def delete(self, path: str) -> Reply:
        return self._request("DELETE", path)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        """Send a request; a POST with an idempotency key, so that a repetition would be carried out once."""
        key = {"Idempotency-Key": clock.new_id()} if method == "POST" else {}
        started_at = clock.monotonic()
        response = self._session.request(method, self._url + path, json=body, headers=key, timeout=10)
        return Reply(
            response.status_code, response.json() if response.content else None, clock.monotonic() - started_at
        )
