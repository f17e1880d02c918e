"""gunicorn's gthread worker, taught to read a request whole before it spends a thread on it, and to shed load.

    accepted or kept alive ──► reading ──whole──► the line ──► a thread ──► kept alive, or lingering ──► closed
                                  └──too large, too slow──┴──too long──► refused ──► lingering ──► closed

So a client that is slow to send, or that never goes away, costs a socket and a buffer and holds up nobody, and more
requests than can be served cost an answer each. What replaces gunicorn's own is the main loop's handling of connections
and the pool of threads; parsing, keep-alive and the drain at the end are gunicorn's.
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
from chassis.web import problem_document
from chassis.web.admission_queue import AdmissionQueue
from chassis.web.request_buffer import MORE, WHOLE, RequestBuffer, allowance, arrived, priority

_READING = 10.0  # seconds a client may take for a whole request
_LINGERING = 2.0  # seconds it may take to see our answer and close
_HEAD_LIMIT = 64 * 1024
_PIECE = 64 * 1024
_LONGEST_LINE = 64
_SHARE = 0.25  # of its deadline that a request may wait for a thread
_UNREADABLE = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)  # not the client's fault
_STALLED = struct.pack("ll", int(_READING), 0)  # a struct timeval


class Connection(TConn):  # type: ignore[misc]
    """A client's connection. A graceful close lingers in the main loop instead of waiting in it."""

    def __init__(self, worker: "Worker", *args: Any) -> None:
        super().__init__(*args)
        self._worker = worker
        self.reading = RequestBuffer(0, 0)
        self.since = 0.0  # when its present state began
        self.polled = False

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self._worker.linger(self)
        else:
            util.close(self.sock)


class Threads:
    """What the worker takes for its pool: threads that serve whoever is next in the line."""

    def __init__(self, worker: "Worker", count: int) -> None:
        self._worker, self.line = worker, AdmissionQueue[Connection](_LONGEST_LINE)
        for number in range(count):
            threading.Thread(target=self._serve, name=f"request-{number}", daemon=True).start()

    def _serve(self) -> None:
        while turn := self.line.get():
            conn, late = turn
            if late:
                self._worker.method_queue.defer(self._worker.shed, conn)
                continue
            arrived.set(conn.since)
            done: Future[Any] = Future()
            try:
                done.set_result(self._worker.handle(conn))
            except BaseException as error:
                done.set_exception(error)
            self._worker.method_queue.defer(self._worker.finish_request, conn, done)

    def shutdown(self, wait: bool) -> None:
        """gunicorn has waited for those under way already."""
        self.line.close()


class Worker(ThreadWorker):  # type: ignore[misc]
    """`app.body_limit`: bytes of a body that is read at all. `app.deadline`: seconds that a request may take.

    `app.drains()` is called when the process was told to end.
    """

    tpool: Threads

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading: OrderedDict[Connection, None] = OrderedDict()
        self._lingering: OrderedDict[Connection, None] = OrderedDict()

    def get_thread_pool(self) -> Threads:
        return Threads(self, self.cfg.threads)

    def handle_exit(self, sig: int, frame: object) -> None:
        self.app.drains()
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """At the end, who has connected already is let in before the door is closed."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            while self.sockets:
                listener = self.sockets.pop()
                while self.accept(listener):
                    pass
                listener.close()

    def accept(self, listener: socket.socket) -> bool:
        """Let one client in; False if there is none."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                return error.errno == errno.ECONNABORTED
            raise
        self.nr_conns += 1
        # The kernel's own limits hold in a thread too: nobody may stall an answer by not reading it.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            client.setsockopt(socket.SOL_SOCKET, option, _STALLED)
        self.enqueue_req(Connection(self, self.cfg, client, address, listener.getsockname()))
        return True

    def enqueue_req(self, conn: Connection) -> None:
        """The connection is new, or its next request has begun to come."""
        begun = conn.parser.unreader.take_buffered() if conn.parser else b""
        conn.reading = RequestBuffer(_HEAD_LIMIT, self.app.body_limit, begun)
        conn.since = clock.monotonic()
        conn.sock.setblocking(False)
        self._reading[conn] = None
        self._read(conn, conn.sock)

    def _read(self, conn: Connection, _socket: object) -> None:
        try:
            data = conn.sock.recv(_PIECE)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        verdict = MORE if data == b"" else conn.reading.add(data or b"")
        if verdict == WHOLE:
            self._forget(conn)
            self._hand_over(conn)
        elif verdict != MORE:
            self._forget(conn)
            self._refuse(conn, verdict)
        elif data == b"":
            self._forget(conn)
            self._drop(conn)
        else:
            if conn.reading.expects:
                conn.reading.expects = False
                conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._poll(conn, self._read)

    def _hand_over(self, conn: Connection) -> None:
        request = bytes(conn.reading.buffer)
        conn.reading.buffer.clear()
        conn.init()
        conn.data_ready = True
        conn.parser.unreader.unread(request)
        conn.since = clock.monotonic()
        max_wait_s = _SHARE * allowance(request, self.app.deadline)
        if refused := self.tpool.line.put(conn, priority(request), max_wait_s):
            self.shed(refused)

    def shed(self, conn: Connection) -> None:
        """Refuse a request that nothing was done for."""
        metrics.shed_requests.inc()
        self._refuse(conn, HTTPStatus.SERVICE_UNAVAILABLE)

    def _refuse(self, conn: Connection, status: int) -> None:
        write_problem(conn.sock, status, HTTPStatus(status).phrase, "")
        self.nr_conns -= 1
        self.linger(conn)

    def linger(self, conn: Connection) -> None:
        """Say that no more will come, and close once the client has: an early close may cost it our answer."""
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
            over = not conn.sock.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            self._forget(conn)
            self._drop(conn)

    def murder_pending(self) -> None:
        """Cut those that take too long; gunicorn calls it in each round."""
        super().murder_pending()
        for conn in self.tpool.line.overdue():
            self.shed(conn)
        now = clock.monotonic()
        while self._reading:
            conn = next(iter(self._reading))
            begun = bool(conn.reading.buffer)
            if now - conn.since < _READING and (self.alive or begun):
                break
            self._forget(conn)
            if begun:
                self._refuse(conn, HTTPStatus.REQUEST_TIMEOUT)
            else:
                self._drop(conn)
        while self._lingering and now - next(iter(self._lingering)).since >= _LINGERING:
            conn = next(iter(self._lingering))
            self._forget(conn)
            self._drop(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, error: Exception) -> None:
        """What cannot be read may hold a token: neither the log nor the answer repeats it, as gunicorn's would."""
        if not isinstance(error, errors.ParseException) or isinstance(error, _OURS):
            super().handle_error(req, client, addr, error)
            return
        status = _UNREADABLE.get(type(error), HTTPStatus.BAD_REQUEST)
        self.log.warning("a request cannot be read: %s", type(error).__name__)
        write_problem(client, status, status.phrase, "The request cannot be read.")

    def _poll(self, conn: Connection, then: Any) -> None:
        if not conn.polled:
            conn.polled = True
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(then, conn))

    def _forget(self, conn: Connection) -> None:
        if conn.polled:
            conn.polled = False
            self.poller.unregister(conn.sock)
        self._reading.pop(conn, None)
        self._lingering.pop(conn, None)

    def _drop(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()


def write_problem(sock: socket.socket, status: int, reason: str, detail: str) -> None:
    """Answer a request that no app will see, as RFC 9457 says, and announce the end of the connection."""
    shed = status == HTTPStatus.SERVICE_UNAVAILABLE
    kind, retry = ("not_done", "Retry-After: 1\r\n") if shed else ("", "")
    body = problem_document.encode(status, reason, detail, "", clock.entropy(16).hex(), kind)
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {problem_document.MEDIA_TYPE}\r\n{retry}"
    try:
        util.write_nonblock(sock, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    except OSError:
        return  # the client has gone; nobody waits for it


util.write_error = write_problem  # gunicorn's own is a page of HTML, and it offers no other place
