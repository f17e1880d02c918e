"""One HTTP exchange under the whole deadline: a socket's own timeout begins anew with each read, however short."""

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

LONGEST = 4.0
"""Seconds that a call may take at most; shorter than any lease it is made under."""
CONNECT = 0.25
"""Seconds to wait for a connection."""


class Transport:
    """Connections that are kept, at most `threads` of them to one address; safe to share between threads."""

    def __init__(self, threads: int) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", _Adapter(pool_connections=64, pool_maxsize=threads))

    def exchange(
        self, method: str, address: str, path: str, body: bytes, headers: dict[str, str], timeout_s: float
    ) -> requests.Response:
        """Any answer within `timeout_s` seconds and the deadline. Raises Unreachable, OutcomeUnknown, DeadlineExceeded."""
        with deadline.within(timeout_s):
            left = deadline.remaining(timeout_s)
            milliseconds = max(1, int((left - deadline.HOP) * 1000))
            handed_on = {deadline.HEADER: str(milliseconds), "traceparent": trace.traceparent()}
            try:
                response = self._session.request(
                    method,
                    f"http://{address}{path}",
                    data=body,
                    headers=headers | handed_on,
                    timeout=(min(CONNECT, left), left),
                    allow_redirects=False,
                )
                trace.current().set("http.response.status_code", response.status_code)
                return response
            except requests.ConnectionError as error:
                if isinstance(error, requests.ConnectTimeout) or _refused(error):
                    raise Unreachable(f"{address} cannot be reached") from error
                raise _silence(f"{address} closed the connection or did not answer in time") from error
            except requests.RequestException as error:
                raise _silence(f"{address} did not answer in time") from error


def _silence(what: str) -> OutcomeUnknown:
    """What it means that no answer came."""
    try:
        deadline.remaining(LONGEST)
    except DeadlineExceeded:
        return ResponseTimeout(what)
    return OutcomeUnknown(what)


def _refused(error: requests.ConnectionError) -> bool:
    return bool(error.args) and isinstance(getattr(error.args[0], "reason", None), NewConnectionError)


class _Socket(socket.socket):
    """Waits in each read for what is left of the deadline of the work under way."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        try:
            self.settimeout(deadline.remaining(LONGEST))
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
