"""Someone at the shop: a tiny client of the public API."""

from typing import Any, NamedTuple

import requests

from chassis import clock


class Answer(NamedTuple):
    """What came back, and after how many seconds."""

    status: int
    body: Any
    seconds: float


class Person:
    """A visitor until signed in; then every request carries the access token."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def sign_in(self, email: str, password: str) -> Answer:
        answer = self.post("/api/auth/login", {"email": email, "password": password})
        if answer.status == 200:
            self._session.headers["Authorization"] = f"Bearer {answer.body['accessToken']}"
        return answer

    def get(self, path: str) -> Answer:
        return self._ask("GET", path)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        return self._ask("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """The key names this attempt: sent again with it, the same request is carried out once."""
        key = {"Idempotency-Key": clock.new_id()} if method == "POST" else {}
        begun = clock.monotonic()
        response = self._session.request(method, self._url + path, json=body, headers=key, timeout=10)
        return Answer(response.status_code, response.json() if response.content else None, clock.monotonic() - begun)
