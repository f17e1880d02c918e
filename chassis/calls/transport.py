"""Connections that keep the whole deadline: a socket's own timeout begins anew with each read, however little comes."""

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

from chassis.calls import deadline
from chassis.errors import TooLate

LONGEST = 4.0
"""Seconds that a call may take at most; shorter than any lease it is made under."""


class _Socket(socket.socket):
    """Waits in each read for what is left of the deadline of the work under way."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        try:
            self.settimeout(deadline.remaining(LONGEST))
        except TooLate:
            raise TimeoutError("the deadline has passed") from None
        return super().recv_into(*args, **kwargs)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        return _Socket(plain.family, plain.type, plain.proto, fileno=plain.detach())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class Adapter(HTTPAdapter):
    """For `requests`: keeps connections, and the deadline on each."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool}
