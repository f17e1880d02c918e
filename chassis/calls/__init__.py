"""Calls to other services: a command goes out; its reply comes back, or an error says what is known.

    client      retries within deadline and retry budget; falls back on a stale response
      upstream    one called service: bulkhead, retry budget (guards), circuit breaker
        discovery   load balancing over the addresses; on a refused connection, the next one
          transport   one HTTP exchange under the whole deadline
      outcomes    the meaning of a response

    calls.send(Reserve(order_id=id, lines=lines), key=f"{id}:reserve")
    calls.fetch("products", "/api/products", stale_s=60)
    calls.on_behalf("carts").get("/api/carts/{id}", id=id, token=token)      for a client: see `public_routes`

A `DomainError` is raised by the upstream's domain. After `NotAttempted`, the work is certainly not done; after
`OutcomeUnknown`, it may be, and a repeat with the same key does it once. No other layer retries calls: a saga, which
repeats its steps itself, sends with one attempt.
"""

from typing import Any

from chassis.calls.client import MAX_ATTEMPTS, Client
from chassis.calls.outcomes import ProblemResponse
from chassis.calls.parallel import Part, in_parallel
from chassis.calls.public_routes import Answer, on_behalf
from chassis.calls.transport import MAX_CALL_S
from chassis.messages import Command

__all__ = [
    "MAX_ATTEMPTS",
    "MAX_CALL_S",
    "Answer",
    "Client",
    "Part",
    "ProblemResponse",
    "current",
    "fetch",
    "in_parallel",
    "on_behalf",
    "send",
    "use",
]

_client: Client | None = None


def use(client: Client) -> None:
    """Set the client of this process; called once, after any fork."""
    global _client
    _client = client


def current() -> Client:
    """Return the client of this process."""
    if _client is None:
        raise RuntimeError("no client for calls: declare the upstreams in service.py with calls(...)")
    return _client


def send(command: Command, *, key: str = "", attempts: int = MAX_ATTEMPTS, stale_s: float = 0.0) -> Any:
    """Send a command to the service that declares it and return its `Reply`. Raises as `Client.send`."""
    return current().send(command, key, attempts, stale_s)


def fetch(service: str, path: str, *, stale_s: float = 0.0) -> Any:
    """Return the JSON of a public route of another service. Raises as `Client.fetch`."""
    return current().fetch(service, path, stale_s)
