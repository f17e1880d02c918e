"""Fetches a file of another host for `products`, and never one of this network.

The host is on a list. It is resolved once; all of its addresses must be public, and the connection goes to one of these
addresses, so that a second answer of DNS changes nothing. Redirects are not followed.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Collection
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

MAX_TIME_S = 10.0
"""Longest time of a whole download."""
_READ_BYTES = 64 * 1024
_TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64: the last 32 bits are an IPv4 address
_PORTS = {"http": 80, "https": 443}


class FetchRefused(Exception):
    """This URL will not be fetched, or its host answered without a file: a retry does not help."""


class FetchFailed(Exception):
    """The host cannot be reached, or does not answer in time: a retry may help."""


def fetch(url: str, hosts: Collection[str], max_bytes: int) -> bytes:
    """Return the body of a URL whose host, or host:port, is one of `hosts`. Raises FetchRefused, FetchFailed."""
    parts = _checked(url, hosts)
    port = parts.port or _PORTS[parts.scheme]
    address = _resolve(str(parts.hostname), port)
    connection = _Connection(parts, address, port)
    late = threading.Timer(MAX_TIME_S, connection.abort)
    late.daemon = True
    late.start()
    try:
        return _download(connection, parts, max_bytes)
    except (OSError, http.client.HTTPException) as error:
        raise FetchFailed(f"{parts.hostname} did not answer: {type(error).__name__}") from error
    finally:
        late.cancel()
        connection.close()


def _checked(url: str, hosts: Collection[str]) -> SplitResult:
    try:
        parts = urlsplit(url)
        netloc = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        raise FetchRefused("is not a URL") from None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise FetchRefused("is not an http or https URL without a password")
    if netloc not in hosts:
        raise FetchRefused("the host is not in PICTURE_HOSTS")
    return parts


def _resolve(host: str, port: int) -> str:
    """Return an address of the host. Raises FetchRefused if one is not public, FetchFailed if there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchFailed(f"{host} is not known to DNS") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(is_public(ip_address(address.partition("%")[0])) for address in addresses):
        raise FetchRefused(f"{host} has an address that is not public")
    return addresses[0]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is one of the Internet, also that inside of an IPv6 address that stands for IPv4."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _TRANSLATED:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked; the host is only named in it."""

    def __init__(self, parts: SplitResult, address: str, port: int) -> None:
        super().__init__(str(parts.hostname), port, timeout=MAX_TIME_S)
        self.default_port = _PORTS[parts.scheme]  # for the Host header
        self._is_secure, self._checked_address = parts.scheme == "https", (address, port)

    def connect(self) -> None:
        self.sock = socket.create_connection(self._checked_address, timeout=MAX_TIME_S)
        if self._is_secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)

    def abort(self) -> None:
        """End the download from another thread, whatever it waits for."""
        if self.sock:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


def _download(connection: _Connection, parts: SplitResult, max_bytes: int) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", target, headers={"Accept": "image/*", "User-Agent": "mercato"})
    except ValueError:  # such as a space or a line break in the path
        raise FetchRefused("is not a valid URL") from None
    response = connection.getresponse()
    if response.status != http.client.OK:
        answer = f"{parts.hostname} answered {response.status}"
        raise (FetchFailed if response.status == 429 or response.status >= 500 else FetchRefused)(answer)
    if (response.length or 0) > max_bytes:
        raise FetchRefused(f"has more than {max_bytes} bytes")
    body = b""
    while chunk := response.read1(_READ_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise FetchRefused(f"has more than {max_bytes} bytes")
    if response.length:
        raise FetchFailed(f"{parts.hostname} closed the connection before the end")
    return body
