"""One HTTP exchange within one deadline; the timeout of a plain socket would restart at each read."""

import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from chassis import deadline
from chassis.calls.outcomes import ResponseTimeout, Unreachable
from chassis.errors import DeadlineExceeded, OutcomeUnknown
from chassis.observe import trace

MAX_CALL_S = 4.0
"""Longest time that a call may take; shorter than any lease under which calls are made."""
CONNECT_TIMEOUT_S = 0.25


class Transport:
    """A pool of at most `threads` connections per address; safe to share between threads."""

    def __init__(self, threads: int) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", _Adapter(pool_connections=64, pool_maxsize=threads))

    def exchange(
        self, method: str, address: str, path: str, body: bytes, headers: dict[str, str], timeout_s: float
    ) -> requests.Response:
        """Return the response, whatever its status. Raises Unreachable, OutcomeUnknown, DeadlineExceeded."""
        with deadline.within(timeout_s):
            left = deadline.remaining(timeout_s)
            milliseconds = max(1, int((left - deadline.HOP_S) * 1000))
            context = {deadline.HEADER: str(milliseconds), "traceparent": trace.traceparent()}
            try:
                response = self._session.request(
                    method,
                    f"http://{address}{path}",
                    data=body,
                    headers=headers | context,
                    timeout=(min(CONNECT_TIMEOUT_S, left), left),
                    allow_redirects=False,
                )
                trace.current().set_attribute("http.response.status_code", response.status_code)
                return response
            except requests.ConnectionError as error:
                if isinstance(error, requests.ConnectTimeout) or _refused(error):
                    raise Unreachable(f"{address} is unreachable") from error
                raise _no_response(f"{address} closed the connection or did not respond in time") from error
            except requests.RequestException as error:
                raise _no_response(f"{address} did not respond in time") from error


def _no_response(message: str) -> OutcomeUnknown:
    """Return ResponseTimeout after the deadline, else OutcomeUnknown."""
    try:
        deadline.remaining(MAX_CALL_S)
    except DeadlineExceeded:
        return ResponseTimeout(message)
    return OutcomeUnknown(message)


def _refused(error: requests.ConnectionError) -> bool:
    return bool(error.args) and isinstance(getattr(error.args[0], "reason", None), NewConnectionError)


class _Socket(socket.socket):
    """A socket whose reads wait until the deadline of the current work."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        try:
            self.settimeout(deadline.remaining(MAX_CALL_S))
        except DeadlineExceeded:
            raise TimeoutError("the deadline has passed") from None
        return super().recv_into(*args, **kwargs)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        return _Socket(plain.family, plain.type, plain.proto, fileno=plain.detach())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool}
