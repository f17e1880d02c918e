"""The demo: an administrator fills a shop, a shopper buys, and orders take each course that an order can take.

    make demo

The demo starts the platform if it does not run, and leaves it running. You can send every request below with curl, too;
`services/<name>/contract/openapi.yaml` documents them.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from chassis import clock
from chassis.settings import settings
from demo.shop import Person
from demo.story import Story, UnexpectedResult
from mercato.local.running_platform import find_run

CATALOG = Path(__file__).parents[1] / "data" / "catalog.csv"
TABLE_WIDTH = 140  # if the output is no terminal
PASSWORD = "correct horse battery"  # noqa: S105 - of an account that only this run uses


def play(story: Story, url: str, administrator: dict[str, str]) -> None:
    """Play the whole story. Raises UnexpectedResult at the first step whose result is not as expected."""
    admin, ada = Person(url), Person(url)
    email = f"ada-{clock.new_id().lower()}@example.com"

    # The administrator fills the shop.
    token = story.expect_reply("The administrator signs in", admin.sign_in(**administrator), 200)["accessToken"]
    import_catalog(story, token, "The administrator imports the catalog", new=None)
    import_catalog(story, token, "A second import creates nothing twice", new=0)
    kettle = {"name": "Trail kettle", "price": "24.50", "stock": 5, "category": "Cooking"}
    product = story.expect_reply("She adds a product with five units", admin.post("/api/products", kettle), 201)
    path = f"/api/products/{product['id']}"

    # A shopper arrives, and fills a cart before she signs up.
    mug = admin.post("/api/products", {"name": "Camp mug", "price": "9.00", "stock": 5, "category": "Cooking"}).body
    cart = story.expect_reply("Ada takes a cart", ada.take_cart(), 201)
    two_mugs = {"productId": mug["id"], "quantity": 2}
    story.expect_reply("She puts in two mugs", ada.post(f"/api/carts/{cart['id']}/items", two_mugs), 200, total="18.00")
    account = {"email": email, "name": "Ada Byron", "password": PASSWORD}
    story.expect_reply("Ada signs up", ada.post("/api/users", account), 201)
    story.expect_reply("Ada signs in", ada.sign_in(email, PASSWORD), 200)
    guest_cart = {"cartId": cart["id"], "token": cart["token"]}
    merged = ada.post("/api/carts/mine/merges", guest_cart)
    mine = story.expect_reply("Her cart becomes that of her account", merged, 200, total="18.00")
    again = ada.post("/api/carts/mine/merges", guest_cart)
    story.expect_reply("Merging it again changes nothing", again, 200, total="18.00")
    order_of_cart = {"cartId": mine["id"], "cartVersion": mine["version"], "expectedTotal": mine["total"]}
    story.expect_reply("She orders the cart", ada.post("/api/orders", order_of_cart), 201, status="confirmed")
    story.expect_soon("The cart is empty", "[]", lambda: ada.get("/api/carts/mine").body["items"])
    story.expect_reply("Ada searches for a kettle", ada.get("/api/products?q=kettle"), 200)
    found = story.expect_reply("She mistypes a lantern", ada.get("/api/products?q=lantren"), 200, didYouMean="lantern")
    lanterns = ", ".join(item["name"] for item in found["items"])
    story.add_step("The shop finds it all the same", "Glowworm lantern", lanterns, 0.0)

    def order(quantity: int, card: str = "tok_ok") -> dict[str, Any]:
        return {"items": [{"productId": product["id"], "quantity": quantity}], "paymentToken": card}

    def stock() -> Any:
        return ada.get(path).body["stock"]

    def status(id: str) -> Any:
        return ada.get(f"/api/orders/{id}").body["status"]

    def payment(id: str) -> str:
        return ", ".join(each["status"] for each in ada.get(f"/api/payments?orderId={id}").body["items"])

    # The shopper orders: success, too few units, a declined card, a silent payment provider.
    bought = story.expect_reply("She orders two kettles", ada.post("/api/orders", order(2)), 201, status="confirmed")
    story.expect_soon("The shop shows three units", "3", stock)
    story.expect_reply("She orders ten kettles", ada.post("/api/orders", order(10)), 409, title="Insufficient stock")
    declined = ada.post("/api/orders", order(3, "tok_declined"))
    rejected = story.expect_reply("Her card is declined", declined, 402, title="Payment declined")
    story.expect_soon("That order is rejected", "rejected", lambda: status(rejected["orderId"]))
    story.expect_soon("Its three units are back in stock", "3", stock)
    late = story.expect_reply(
        "The payment provider does not respond", ada.post("/api/orders", order(1, "tok_timeout")), 202, status="pending"
    )
    story.expect_soon("The provider did charge her: the order is confirmed", "confirmed", lambda: status(late["id"]))
    story.expect_soon("The order has one payment", "completed", lambda: payment(late["id"]))
    story.expect_soon("The shop shows two units", "2", stock)

    # The shopper cancels an order.
    cancelled = ada.post(f"/api/orders/{bought['id']}/cancel")
    story.expect_reply("Ada cancels the first order", cancelled, 200, status="cancelled")
    story.expect_soon("Her payment is refunded", "refunded", lambda: payment(bought["id"]))
    story.expect_soon("Its two units are back in stock", "4", stock)

    # The administrator ships and delivers the other order.
    late_path = f"/api/orders/{late['id']}"
    story.expect_reply(
        "The administrator ships the other order", admin.post(f"{late_path}/ship"), 200, status="shipped"
    )
    too_late = ada.post(f"{late_path}/cancel")
    story.add_step("Canceling a shipped order is too late", "409", str(too_late.status), too_late.took_s)
    story.expect_reply("She marks it as delivered", admin.post(f"{late_path}/deliver"), 200, status="delivered")

    # Notifications and the timeline.
    def messages() -> str:
        kinds = [each["kind"] for each in ada.get("/api/notifications").body["items"]]
        return f"{len(kinds)} messages of {len(set(kinds))} kinds"

    story.expect_soon("Ada has a notification of every event", "9 messages of 6 kinds", messages)

    def events() -> str:
        entries = ada.get(f"{late_path}/timeline").body["items"]
        return ", ".join(each["type"].removeprefix("order.") for each in entries if each["type"] != "saga.step")

    story.expect_soon("The timeline shows the events in order", "placed, confirmed, shipped, delivered", events)
    story.expect_reply("The administrator deletes the product", admin.delete(path), 204)
    admin.delete(f"/api/products/{mug['id']}")


def import_catalog(story: Story, token: str, step: str, new: int | None) -> None:
    """Run `mercato import products`. It must reject no row, and create `new` products (None: any number)."""
    started_at = clock.monotonic()
    done = mercato("import", "products", str(CATALOG), "--json", ADMIN_TOKEN=token)
    if done.stdout:
        report = orjson.loads(done.stdout)
        created, problem = report["created"], report["stopped"] or f"{len(report['refused'])} refused"
    else:
        created, problem = 0, done.stderr.strip()
    expected = f"{created if new is None else new} new, 0 refused"
    story.add_step(step, expected, f"{created} new, {problem}", clock.monotonic() - started_at)


def mercato(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the `mercato` command."""
    return subprocess.run(  # noqa: S603  our own interpreter and command
        [sys.executable, "-m", "mercato.cli", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def main() -> int:
    """Run the demo; return the exit code, 0 if every step had the expected result."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    run = find_run(settings().data_dir)
    if run is None:
        console.print("No platform runs here. Starting it; stop it with `mercato down`.")
        started = mercato("up", "--detach")
        run = find_run(settings().data_dir)
        if started.returncode or run is None:
            console.print((started.stderr or started.stdout).strip(), markup=False)
            return 1
    if not run["ready"]:
        console.print("The platform is not ready yet. `mercato status` shows which process is missing.")
        return 1
    administrator = orjson.loads((settings().data_dir / "admin.json").read_bytes())
    try:
        with Story(console, f"Mercato at {run['url']}") as story:
            play(story, run["url"], administrator)
    except UnexpectedResult as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print("Every step had the expected result.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
