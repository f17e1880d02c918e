"""The address of a client: that of the connection, or what a trusted proxy or a calling service says it is."""

from functools import lru_cache
from ipaddress import ip_address

from flask import Request

from chassis.settings import settings
from chassis.web.middleware import ON_BEHALF_OF

MAX_CHARS = 64


def client_address(request: Request) -> str:
    """Return the client's address.

    X-Forwarded-For counts only from a trusted proxy, and what a service says only with its service token.
    """
    stated: str = request.environ.get(ON_BEHALF_OF, "")
    if stated:
        return stated[:MAX_CHARS]
    address = request.remote_addr or ""
    if address and is_trusted(address):
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        return forwarded[:MAX_CHARS] or address
    return address


@lru_cache(1024)
def is_trusted(address: str) -> bool:
    """Whether the address is that of a trusted proxy."""
    return any(ip_address(address) in network for network in settings().trusted_proxies)
