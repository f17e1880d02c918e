"""A closed loop of requests over persistent connections, lean enough to leave the other core to the server."""

import selectors
import socket
import time


def rate(port: int, path: str, requests: int, connections: int = 8) -> float:
    """Send `requests` GETs, `connections` at once, and return requests/s. Each response must be 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(connections)]
    for connection in sockets:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
    begun = time.perf_counter()
    for connection in sockets:
        connection.sendall(request)
    left, ended = requests - connections, 0
    while ended < requests:
        for key, _ in selector.select(10):
            connection = key.fileobj  # type: ignore[assignment]
            response = connection.recv(65536)
            while not _is_complete(response):
                more = connection.recv(65536)
                assert more, response[:200]
                response += more
            assert response.startswith(b"HTTP/1.1 200"), response[:200]
            ended += 1
            if left > 0:
                left -= 1
                connection.sendall(request)
    took = time.perf_counter() - begun
    for connection in sockets:
        connection.close()
    return requests / took


def _is_complete(response: bytes) -> bool:
    head, found, body = response.partition(b"\r\n\r\n")
    if not found:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)
