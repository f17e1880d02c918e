"""gunicorn as every web process runs it: one worker process, configured in code."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from chassis import lifeline
from chassis.observe import stdlib_logs
from chassis.settings import settings
from chassis.web import bodies

MAX_BODY_BYTES = 1024 * 1024
"""The largest body that the server reads, besides images; the app has a lower limit of its own."""

_MEMORY = Path("/dev/shm")  # noqa: S108  the worker's heartbeat file costs no disk writes there


def serve(make_app: Callable[[], Any], threads: int, drain: Callable[[], None] = lambda: None) -> None:
    """Serve the WSGI app that `make_app` returns on HOST:PORT until SIGTERM.

    Both functions run in the worker process, after the fork; `drain` first of all at SIGTERM.
    """
    lifeline.watch()
    _Server(make_app, threads, drain).run()


class _Server(BaseApplication):  # type: ignore[misc]
    max_body_bytes, max_image_bytes = MAX_BODY_BYTES, bodies.MAX_IMAGE_BYTES

    def __init__(self, make_app: Callable[[], Any], threads: int, drain: Callable[[], None]) -> None:
        self._make_app, self._threads, self.drain = make_app, threads, drain
        self.deadline_s = settings().deadline
        super().__init__()

    def load_config(self) -> None:
        values = {
            "bind": f"[{settings().host}]:{settings().port}",  # brackets: an IPv6 address has colons
            "worker_class": "chassis.web.worker.Worker",
            "workers": 1,
            "threads": self._threads,
            "backlog": 64,
            "keepalive": 75,  # longer than a proxy keeps an idle upstream connection
            "graceful_timeout": int(settings().shutdown),
            "limit_request_line": 8190,
            "limit_request_fields": 100,
            "limit_request_field_size": 8190,
            "forwarded_allow_ips": "",  # the chassis applies TRUSTED_PROXIES itself
            "loglevel": "warning",
            "logger_class": _Logger,
            "control_socket_disable": True,
            "worker_tmp_dir": str(_MEMORY) if _MEMORY.is_dir() else None,
            "post_fork": _after_fork,
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make_app()


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's log, written to ours."""

    def setup(self, cfg: object) -> None:
        self.error_log.handlers, self.error_log.propagate = [stdlib_logs.StdlibLogHandler(logging.WARNING)], False


def _after_fork(arbiter: object, worker: object) -> None:
    lifeline.watch()
