"""The health endpoint, over real sockets."""

import socket
import struct
import threading

import pytest

from chassis.observe.health import Health
from chassis.testing import capture_logs
from tests.system.running import eventually, free_port

GIVE_UP = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset


def test_aborted_probe_is_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    asked, gone = threading.Event(), threading.Event()

    def check() -> None:
        asked.set()
        gone.wait(10)

    health, port = Health("shop", check), free_port()
    health.started = True
    with capture_logs() as lines:
        health.serve("127.0.0.1", port)
        before = threading.active_count()
        with socket.create_connection(("127.0.0.1", port)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, GIVE_UP)
            probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: shop\r\n\r\n")
            assert asked.wait(10)
        gone.set()
        eventually(lambda: threading.active_count() == before)
    assert (lines, capfd.readouterr().err) == ([], "")
