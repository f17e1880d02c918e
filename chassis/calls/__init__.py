"""Calling another service: a command goes out, its answer comes back, or one of three things is raised.

    client      retries what may be repeated, within deadline and budget; falls back on a kept answer
      callee      holds back: a bulkhead and a budget (guards), a breaker
        discovery   the next address, and another where that one refuses the connection
          transport   one HTTP exchange under the whole deadline
      outcomes    what its answer means

    calls.send(Reserve(order_id=id, lines=lines), key=f"{id}:reserve")
    calls.fetch("products", "/api/products", stale=60)

A `DomainError` is the callee's own. `NotAttempted` is certainly not done, `OutcomeUnknown` may have been: sent again with the same key
it is done once. Retries happen here and nowhere else; a saga, which repeats for itself, asks for one attempt.
"""

from typing import Any

from chassis.calls.client import ATTEMPTS, Client
from chassis.calls.transport import LONGEST
from chassis.messages import Command

__all__ = ["LONGEST", "Client", "fetch", "send", "use"]

_client: Client | None = None


def use(client: Client) -> None:
    """Call through this client from now on. Once in each process, after any fork."""
    global _client
    _client = client


def _current() -> Client:
    if _client is None:
        raise RuntimeError("this process calls no one: declare it in service.py with calls(...)")
    return _client


def send(command: Command, *, key: str = "", attempts: int = ATTEMPTS) -> Any:
    """Send a command to the service that declares it and return its `Reply`. Raises as `Client.send`."""
    return _current().send(command, key, attempts)


def fetch(service: str, path: str, *, stale: float = 0.0) -> Any:
    """The JSON of a public route of another service, `stale` seconds old at most. Raises as `Client.fetch`."""
    return _current().fetch(service, path, stale)
