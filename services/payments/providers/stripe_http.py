"""HTTP for the library `stripe`, under the deadline of the request, a circuit breaker and a bulkhead."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import stripe

from chassis import deadline
from chassis.calls.discovery import Endpoints
from chassis.calls.outcomes import Unreachable
from chassis.calls.upstream import Upstream
from chassis.errors import OutcomeUnknown
from services.payments.providers import TIMEOUT_S
from services.payments.settings import settings

_CONNECT_TIMEOUT_S = 1.0
_CHUNK = 16 * 1024

Answer = tuple[str, int, Mapping[str, str]]
"""Body, status and headers."""


class HttpClient(stripe.HTTPClient):
    """Sends the requests of the library. It repeats none: the checkout does, within its time."""

    name = "requests"

    def __init__(self, base: str) -> None:
        super().__init__()
        endpoints = Endpoints("stripe", lambda: [[urlsplit(base).netloc], []])
        self._upstream = Upstream("stripe", endpoints, max_calls=max(1, settings().threads // 2))
        self._session = requests.Session()

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> Answer:
        """Return the answer, whatever its status below 500.

        Raises: Unreachable, NotRetryable if nothing was sent; OutcomeUnknown, DeadlineExceeded.
        """
        return self._upstream.call(lambda _: self._exchange(method, url, headers, post_data))

    def close(self) -> None:
        self._session.close()

    def _exchange(self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any) -> Answer:
        with deadline.within(TIMEOUT_S):
            left_s = deadline.remaining(TIMEOUT_S)
            timeouts = (min(_CONNECT_TIMEOUT_S, left_s), left_s)
            try:
                response = self._session.request(
                    method, url, headers=headers, data=post_data, timeout=timeouts, stream=True, allow_redirects=False
                )
                with response:
                    body = _read(response)
            except requests.ConnectTimeout as error:
                raise Unreachable("the provider is unreachable") from error
            except (requests.RequestException, OSError) as error:
                raise OutcomeUnknown(f"the provider did not answer: {type(error).__name__}") from error
        if response.status_code >= 500:
            raise OutcomeUnknown(f"the provider answered {response.status_code}")
        return body.decode(), response.status_code, response.headers


def _read(response: requests.Response) -> bytes:
    """Read the body before the deadline, however slowly it arrives. Raises OSError, DeadlineExceeded."""
    parts = []
    while part := response.raw.read1(_CHUNK, decode_content=True):
        parts.append(part)
        deadline.remaining(TIMEOUT_S)
    return b"".join(parts)
