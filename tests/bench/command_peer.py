"""Both ends of an internal command, in the release whose code is on PYTHONPATH: a server, and a caller.

    python -P tests/bench/command_peer.py serve
    python -P tests/bench/command_peer.py call HOST:PORT     for each number of calls on stdin: seconds of CPU of both

`-P` keeps this folder off the path. Only what every release since 0.2.0 has is used here.
"""

import sys
import time

from chassis import deadline
from chassis.calls.client import Client
from chassis.calls.tokens import ServiceTokens
from chassis.messages import Command
from chassis.observe import trace
from chassis.schema import Id, Schema
from chassis.service import Service
from chassis.settings import settings
from chassis.web.server import serve

SECRET = "s" * 32


class Line(Schema):
    """A line of an order."""

    product_id: Id
    quantity: int


class LineReply(Schema):
    """The price of a line."""

    product_id: Id
    price: str


class QuoteReply(Schema):
    """The prices."""

    lines: list[LineReply]


class Quote(Command, name="quote"):
    """Ask for the prices of an order: a command of common size, with a handler that does next to nothing."""

    order_id: Id
    lines: list[Line]
    Reply = QuoteReply


class CpuReply(Schema):
    """Seconds of CPU that the server has used."""

    seconds: float


class ReadCpu(Command, name="read-cpu", read_only=True):
    """Ask how much CPU the server has used."""

    Reply = CpuReply


for command in (Quote, ReadCpu):
    command.service, command.callers = "quotes", ("caller",)


def quote(command: Quote) -> QuoteReply:
    return QuoteReply(lines=[LineReply(product_id=line.product_id, price="29.99") for line in command.lines])


def answer() -> None:
    """Serve the commands."""
    service = Service("quotes")
    service.answers(Quote, quote)
    service.answers(ReadCpu, lambda _: CpuReply(seconds=time.process_time()))
    serve(service.application, settings().threads)


def call(address: str) -> None:
    """Send as many commands as each line of standard input says."""
    client = Client(ServiceTokens("caller", SECRET, ()), lambda _: lambda: [[address]], threads=16)
    command = Quote(order_id="o" * 20, lines=[Line(product_id=f"product-{n}", quantity=n) for n in (1, 2, 3)])
    for calls in map(int, sys.stdin):
        with trace.continue_trace(None):
            server_s = client.send(ReadCpu(), "", 1).seconds
            own_s = time.process_time()
            for number in range(calls):
                with deadline.within(10.0):
                    client.send(command, f"order:{number}", 1)
            own_s = time.process_time() - own_s
            server_s = client.send(ReadCpu(), "", 1).seconds - server_s
        print(own_s, server_s, flush=True)


if __name__ == "__main__":
    answer() if sys.argv[1] == "serve" else call(sys.argv[2])
