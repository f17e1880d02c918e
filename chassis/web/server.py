"""gunicorn, as every web process of the platform runs it: one gthread worker, made without a configuration file."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from chassis import lifeline
from chassis.observe import stdlib_logs
from chassis.settings import settings

BODY_LIMIT = 1024 * 1024
"""Bytes of a body that is read at all; the app has a limit of its own, below this one."""

_MEMORY = Path("/dev/shm")  # noqa: S108  where the worker's heartbeat costs no disk


def serve(make: Callable[[], Any], threads: int, drains: Callable[[], None] = lambda: None) -> None:
    """Serve the WSGI app that `make` returns on HOST:PORT until SIGTERM; it is called in the worker, after the fork.

    At SIGTERM `drains` is called first, in the worker too.
    """
    lifeline.watch()
    _Server(make, threads, drains).run()


class _Server(BaseApplication):  # type: ignore[misc]
    body_limit = BODY_LIMIT

    def __init__(self, make: Callable[[], Any], threads: int, drains: Callable[[], None]) -> None:
        self._make, self._threads, self.drains = make, threads, drains
        self.deadline = settings().deadline
        super().__init__()

    def load_config(self) -> None:
        values = {
            "bind": f"{settings().host}:{settings().port}",
            "worker_class": "chassis.web.worker.Worker",
            "workers": 1,
            "threads": self._threads,
            "backlog": 64,
            "keepalive": 75,  # longer than an edge keeps an idle upstream connection
            "graceful_timeout": int(settings().shutdown),
            "limit_request_line": 8190,
            "limit_request_fields": 100,
            "limit_request_field_size": 8190,
            "forwarded_allow_ips": "",  # the chassis decides whom it believes
            "loglevel": "warning",
            "logger_class": _Logger,
            "control_socket_disable": True,
            "worker_tmp_dir": str(_MEMORY) if _MEMORY.is_dir() else None,
            "post_fork": _after_fork,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make()


class _Logger(Logger):  # type: ignore[misc]
    """What gunicorn says, in our own log."""

    def setup(self, cfg: object) -> None:
        self.error_log.handlers, self.error_log.propagate = [stdlib_logs.StdlibLogHandler(logging.WARNING)], False


def _after_fork(arbiter: object, worker: object) -> None:
    lifeline.watch()
