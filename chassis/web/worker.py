"""gunicorn's gthread worker, changed to buffer a whole request before it takes a thread, and to shed load.

  accepted or kept alive ──► buffering ──complete, paced──► queue ──► thread ──► kept alive, or lingering ──► closed
                                 └─too large, too slow────────┴─full, too late─► rejected ──► lingering ──► closed

A client that sends slowly, or never leaves, costs a socket and a buffer but no thread, and a request beyond capacity
costs one short response. This module replaces how the main loop handles connections, and the thread pool; parsing,
keep-alive and graceful shutdown are those of gunicorn.
"""

import errno
import selectors
import socket
import struct
import threading
from collections import OrderedDict
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import TConn, ThreadWorker

from chassis import clock
from chassis.observe import metrics
from chassis.web import problem_document, request_rules
from chassis.web.admission_queue import AdmissionQueue
from chassis.web.pacing import Pacing
from chassis.web.request_buffer import (
    COMPLETE,
    INCOMPLETE,
    RequestBuffer,
    arrived,
    is_above_limit,
    is_for_people,
    is_internal,
    priority_of,
    time_left_s,
)

_READ_TIMEOUT_S = 10.0
"""How long a client may take to send a whole request."""
_LINGER_S = 2.0
"""How long a client may take to read the last response and close."""
_MAX_HEAD_BYTES = 64 * 1024
_RECEIVE_BYTES = 64 * 1024
_MAX_QUEUED = 64
_MAX_LARGE = 4
"""Requests with a large image that are buffered or handled at once, since each takes several MiB."""
_MAX_WAIT_SHARE = 0.25
"""The share of its deadline that a request may wait for a thread."""
_PARSE_STATUS = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}
_RESPONSE_ERRORS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)  # ours, not the client's
_IPV4_MAPPED = "::ffff:"
"""Prefix of an IPv4 address on a socket that accepts IPv4 and IPv6."""
_SOCKET_TIMEOUT = struct.pack("ll", int(_READ_TIMEOUT_S), 0)  # a struct timeval


class Connection(TConn):  # type: ignore[misc]
    """A client connection. A graceful close lingers without blocking the main loop."""

    def __init__(self, worker: "Worker", *args: Any) -> None:
        super().__init__(*args)
        self._worker = worker
        self.incoming = RequestBuffer(0, 0)
        self.head = b""  # of its current request
        self.is_above_limit = False  # its caller, by the response to its current request
        self.audience = metrics.PUBLIC  # of its current request
        self.since = 0.0  # when its current state began
        self.polled = False

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self._worker.linger(self)
        else:
            util.close(self.sock)


class Threads:
    """The thread pool of the worker: its threads serve the admission queue."""

    def __init__(self, worker: "Worker", count: int) -> None:
        self._worker, self.queue = worker, AdmissionQueue[Connection](_MAX_QUEUED)
        for number in range(count):
            threading.Thread(target=self._serve, name=f"request-{number}", daemon=True).start()

    def _serve(self) -> None:
        while entry := self.queue.get():
            conn, is_late = entry
            if is_late:
                self._worker.method_queue.defer(self._worker.shed, conn)
                continue
            arrived.set(conn.since)
            is_above_limit.set(False)
            done: Future[Any] = Future()
            try:
                done.set_result(self._worker.handle(conn))
            except BaseException as error:
                done.set_exception(error)
            conn.is_above_limit = is_above_limit.get()
            self._worker.method_queue.defer(self._worker.finish_request, conn, done)

    def shutdown(self, wait: bool) -> None:
        """End the threads; gunicorn has already waited for the running requests."""
        self.queue.close()


class Worker(ThreadWorker):  # type: ignore[misc]
    """The worker. It takes its limits from the server: `app.max_body_bytes`, `max_image_bytes` and `deadline_s`.

    It calls `app.drain()` at SIGTERM.
    """

    tpool: Threads

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._buffering: OrderedDict[Connection, None] = OrderedDict()
        self._lingering: OrderedDict[Connection, None] = OrderedDict()
        self._large: set[Connection] = set()
        self._pacing = Pacing[Connection]()

    def get_thread_pool(self) -> Threads:
        return Threads(self, self.cfg.threads)

    def handle_exit(self, sig: int, frame: object) -> None:
        self.app.drain()
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept or pause. At shutdown, accept the clients that have already connected, then close the listeners."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            while self.sockets:
                listener = self.sockets.pop()
                while self.accept(listener):
                    pass
                listener.close()

    def accept(self, listener: socket.socket) -> bool:
        """Accept one client. Return False if none is waiting."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                return error.errno == errno.ECONNABORTED
            raise
        self.nr_conns += 1
        # The timeouts of the kernel hold in a thread, too: a client cannot stall a response by not reading it.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            client.setsockopt(socket.SOL_SOCKET, option, _SOCKET_TIMEOUT)
        peer = (address[0].removeprefix(_IPV4_MAPPED), *address[1:])
        self.enqueue_req(Connection(self, self.cfg, client, peer, listener.getsockname()))
        return True

    def enqueue_req(self, conn: Connection) -> None:
        """Start to buffer the first or the next request of a connection."""
        received = conn.parser.unreader.take_buffered() if conn.parser else b""
        conn.incoming = RequestBuffer(_MAX_HEAD_BYTES, self.app.max_body_bytes, received, self.app.max_image_bytes)
        conn.since = clock.monotonic()
        conn.sock.setblocking(False)
        self._buffering[conn] = None
        self._read(conn, conn.sock)

    def _read(self, conn: Connection, _socket: object) -> None:
        try:
            data = conn.sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        result = INCOMPLETE if data == b"" else conn.incoming.add(data or b"")
        if conn.incoming.is_large and result in (INCOMPLETE, COMPLETE):
            if conn not in self._large and len(self._large) >= _MAX_LARGE:
                result = HTTPStatus.SERVICE_UNAVAILABLE
            else:
                self._large.add(conn)
        if result == COMPLETE:
            self._forget(conn)
            conn.head = conn.incoming.head
            if conn in self._large or not self._pacing.hold(conn, conn.head, conn.client[0]):
                self._enqueue(conn)
        elif result != INCOMPLETE:
            self._forget(conn)
            self._reject(conn, result)
        elif data == b"":
            self._forget(conn)
            self._drop(conn)
        else:
            if conn.incoming.expects_continue:
                conn.incoming.expects_continue = False
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._poll(conn, self._read)

    def _enqueue(self, conn: Connection) -> None:
        request = bytes(conn.incoming.buffer)
        conn.incoming.buffer.clear()
        conn.init()
        conn.data_ready = True
        conn.parser.unreader.unread(request)
        conn.since = clock.monotonic()
        conn.audience = metrics.INTERNAL if is_internal(request) else metrics.PUBLIC
        max_wait_s = _MAX_WAIT_SHARE * time_left_s(request, self.app.deadline_s)
        if removed := self.tpool.queue.put(conn, priority_of(request), max_wait_s):
            self.shed(removed)

    def shed(self, conn: Connection) -> None:
        """Reject a request before any work was done for it."""
        metrics.shed_requests[conn.audience].inc()
        self._reject(conn, HTTPStatus.SERVICE_UNAVAILABLE)

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        self._large.discard(conn)
        if conn.is_above_limit:
            self._pacing.note_refusal(conn.head, conn.client[0])
        super().finish_request(conn, fs)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events, and start the requests whose caller was paced; a shutdown waits for no turn."""
        super().wait_for_and_dispatch_events(self._pacing.wait_s(timeout))
        for conn in self._pacing.take_due(everything=not self.alive):
            self._enqueue(conn)

    def _reject(self, conn: Connection, status: int) -> None:
        self._large.discard(conn)
        write_problem(conn.sock, status, HTTPStatus(status).phrase, "", as_page=is_for_people(conn.head))
        self.nr_conns -= 1
        self.linger(conn)

    def linger(self, conn: Connection) -> None:
        """Shut down our side, and close once the client does: an early close could cost it the response."""
        self.nr_conns += 1
        conn.since = clock.monotonic()
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        self._lingering[conn] = None
        self._poll(conn, self._discard)

    def _discard(self, conn: Connection, _socket: object) -> None:
        try:
            over = not conn.sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            self._forget(conn)
            self._drop(conn)

    def murder_pending(self) -> None:
        """Close the connections that take too long; gunicorn calls it in each round of the main loop."""
        super().murder_pending()
        for conn in self.tpool.queue.remove_overdue():
            self.shed(conn)
        now = clock.monotonic()
        while self._buffering:
            conn = next(iter(self._buffering))
            has_started = bool(conn.incoming.buffer)
            if now - conn.since < _READ_TIMEOUT_S and (self.alive or has_started):
                break
            self._forget(conn)
            if has_started:
                self._reject(conn, HTTPStatus.REQUEST_TIMEOUT)
            else:
                self._drop(conn)
        while self._lingering and now - next(iter(self._lingering)).since >= _LINGER_S:
            conn = next(iter(self._lingering))
            self._forget(conn)
            self._drop(conn)

    def handle_request(self, req: Any, conn: TConn) -> bool:
        request_rules.apply(req)
        return bool(super().handle_request(req, conn))

    def handle_error(self, req: Any, client: socket.socket, addr: Any, error: Exception) -> None:
        """Respond to a request that cannot be parsed. Log and response leave out its content: it may hold a token."""
        if not isinstance(error, errors.ParseException) or isinstance(error, _RESPONSE_ERRORS):
            super().handle_error(req, client, addr, error)
            return
        status = _PARSE_STATUS.get(type(error), HTTPStatus.BAD_REQUEST)
        if request_rules.is_unknown_coding(error):
            status = HTTPStatus.NOT_IMPLEMENTED
        self.log.warning("request cannot be parsed: %s", type(error).__name__)
        write_problem(client, status, status.phrase, "The request cannot be read.")

    def _poll(self, conn: Connection, callback: Any) -> None:
        if not conn.polled:
            conn.polled = True
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(callback, conn))

    def _forget(self, conn: Connection) -> None:
        if conn.polled:
            conn.polled = False
            self.poller.unregister(conn.sock)
        self._buffering.pop(conn, None)
        self._lingering.pop(conn, None)

    def _drop(self, conn: Connection) -> None:
        self._large.discard(conn)
        self.nr_conns -= 1
        conn.close()


def write_problem(sock: socket.socket, status: int, reason: str, detail: str, as_page: bool = False) -> None:
    """Send a problem document, or a page, for a request that no app sees, and announce the end of the connection."""
    shed = status == HTTPStatus.SERVICE_UNAVAILABLE
    kind, retry = ("not_done", "Retry-After: 1\r\n") if shed else ("", "")
    trace_id, media_type = clock.entropy(16).hex(), problem_document.MEDIA_TYPE
    if as_page:
        media_type = f"{problem_document.PAGE_MEDIA_TYPE}\r\nContent-Security-Policy: default-src 'none'"
        body = problem_document.encode_page(reason, "Please try again in a moment." if shed else detail, trace_id)
    else:
        body = problem_document.encode(status, reason, detail, "", trace_id, kind)
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {media_type}\r\n"
    head += f"{retry}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    try:
        util.write_nonblock(sock, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    except OSError:
        return  # the client has gone


util.write_error = write_problem  # gunicorn sends a page of HTML, and offers no other hook
