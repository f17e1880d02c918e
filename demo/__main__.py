"""Mercato in one story: a shop is filled, a customer buys, and each way in which an order can go is shown.

    make up      (or not: the demo starts the platform where none runs, and leaves it running)
    make demo

Every request below is one that you can send with curl; `services/<name>/contract/openapi.yaml` has the others.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from chassis import clock
from chassis.settings import settings
from demo.shop import Person
from demo.story import Differs, Story
from mercato.local.running_platform import find_run

CATALOG = Path(__file__).parents[1] / "data" / "catalog.csv"
WIDTH = 140  # of the table where it goes into a file
PASSWORD = "correct horse battery"  # noqa: S105  of an account made for one run


def tell(story: Story, url: str, administrator: dict[str, str]) -> None:
    """The whole story. Raises Differs at the first step that comes out otherwise."""
    admin, ada = Person(url), Person(url)
    email = f"ada-{clock.new_id().lower()}@example.com"

    # The shop is filled.
    import_catalog(story, "The catalog is imported", new=None)
    import_catalog(story, "It is imported again: nothing is made twice", new=0)
    story.answers("The administrator signs in", admin.sign_in(**administrator), 200)
    kettle = {"name": "Trail kettle", "price": "24.50", "stock": 5, "category": "Cooking"}
    product = story.answers("She adds a product, five of it", admin.post("/api/products", kettle), 201)
    path = f"/api/products/{product['id']}"

    # A customer comes.
    account = {"email": email, "name": "Ada Byron", "password": PASSWORD}
    story.answers("Ada signs up", ada.post("/api/users", account), 201)
    story.answers("Ada signs in", ada.sign_in(email, PASSWORD), 200)
    story.answers("She searches for a kettle", ada.get("/api/products?q=kettle"), 200)

    def order(quantity: int, card: str = "tok_ok") -> dict[str, Any]:
        return {"items": [{"productId": product["id"], "quantity": quantity}], "paymentToken": card}

    def stock() -> Any:
        return ada.get(path).body["stock"]

    def status(id: str) -> Any:
        return ada.get(f"/api/orders/{id}").body["status"]

    def payment(id: str) -> str:
        return ", ".join(each["status"] for each in ada.get(f"/api/payments?orderId={id}").body["items"])

    # Bought, and what may come between.
    bought = story.answers("She orders two", ada.post("/api/orders", order(2)), 201, status="confirmed")
    story.becomes("The shop shows three", "3", stock)
    story.answers("She orders ten", ada.post("/api/orders", order(10)), 409, title="Insufficient stock")
    declined = ada.post("/api/orders", order(3, "tok_declined"))
    refused = story.answers("Her card is declined", declined, 402, title="Payment declined")
    story.becomes("That order is rejected", "rejected", lambda: status(refused["orderId"]))
    story.becomes("The three units are back", "3", stock)
    late = story.answers(
        "The payment provider never answers", ada.post("/api/orders", order(1, "tok_timeout")), 202, status="pending"
    )
    story.becomes("It was charged all the same: confirmed", "confirmed", lambda: status(late["id"]))
    story.becomes("There is one payment for it", "completed", lambda: payment(late["id"]))
    story.becomes("The shop shows two", "2", stock)

    # She thinks better of it.
    cancelled = ada.post(f"/api/orders/{bought['id']}/cancel")
    story.answers("She cancels the first order", cancelled, 200, status="cancelled")
    story.becomes("Her money is on its way back", "refunded", lambda: payment(bought["id"]))
    story.becomes("Her two units are back in the shop", "4", stock)

    # The other one arrives.
    late_path = f"/api/orders/{late['id']}"
    story.answers("The administrator ships the other", admin.post(f"{late_path}/ship"), 200, status="shipped")
    too_late = ada.post(f"{late_path}/cancel")
    story.tells("Now it is too late to cancel", "409", str(too_late.status), too_late.seconds)
    story.answers("It is delivered", admin.post(f"{late_path}/deliver"), 200, status="delivered")

    # What is told of it.
    def messages() -> str:
        kinds = [each["kind"] for each in ada.get("/api/notifications").body["items"]]
        return f"{len(kinds)} messages of {len(set(kinds))} kinds"

    story.becomes("Ada was told of each, from welcome to delivered", "8 messages of 6 kinds", messages)

    def events() -> str:
        moments = ada.get(f"{late_path}/timeline").body["items"]
        return ", ".join(each["type"].removeprefix("order.") for each in moments if each["type"] != "saga.step")

    story.becomes("The timeline has it in order", "placed, confirmed, shipped, delivered", events)
    story.answers("The administrator takes the kettle out again", admin.delete(path), 204)


def import_catalog(story: Story, step: str, new: int | None) -> None:
    """`mercato import products`: no row is refused, and as many are new as given (None: however many)."""
    begun = clock.monotonic()
    done = mercato("import", "products", str(CATALOG), "--json")
    if done.stdout:
        report = orjson.loads(done.stdout)
        made, wrong = report["created"], report["stopped"] or f"{len(report['refused'])} refused"
    else:
        made, wrong = 0, done.stderr.strip()
    expected = f"{made if new is None else new} new, 0 refused"
    story.tells(step, expected, f"{made} new, {wrong}", clock.monotonic() - begun)


def mercato(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the `mercato` command."""
    return subprocess.run(  # noqa: S603  our own interpreter and command
        [sys.executable, "-m", "mercato.cli", *arguments], capture_output=True, text=True, check=False
    )


def main() -> int:
    """The exit code: 0 when every step came out as expected."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    run = find_run(settings().data_dir)
    if run is None:
        console.print("No platform runs here: it is started, and left running; `mercato down` ends it.")
        started = mercato("up", "--detach")
        run = find_run(settings().data_dir)
        if started.returncode or run is None:
            console.print((started.stderr or started.stdout).strip(), markup=False)
            return 1
    if not run["ready"]:
        console.print("The platform is not ready yet: `mercato status` shows which process is waited for.")
        return 1
    administrator = orjson.loads((settings().data_dir / "admin.json").read_bytes())
    try:
        with Story(console, f"Mercato at {run['url']}") as story:
            tell(story, run["url"], administrator)
    except Differs as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print("Everything came out as expected.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
